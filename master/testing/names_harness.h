// A metadata service in virtual time: one thread, a clock that tests advance, scripted under-stores.
#pragma once

#include "common/manual_clock.h"
#include "master/memory_meta_store.h"
#include "master/metadata_service.h"
#include "understore/sim_store.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace hearth::master {

class NamesHarness {
 public:
  explicit NamesHarness(MetaStore* external = nullptr) : meta_(external != nullptr ? external : &memory_) { open(); }
  // With stores of the test's own.
  explicit NamesHarness(StoreOpener opener) : meta_(&memory_), opener_(std::move(opener)) { open(); }
  NamesHarness(MetaStore& external, StoreOpener opener) : meta_(&external), opener_(std::move(opener)) { open(); }
  ~NamesHarness() { close(); }

  void open() {
    const MetadataService::Parts parts{context_.get_executor(), clock, *meta_, sync_pool_, store_pool_,
                                       [this](const std::string& uri, const StoreOptions& store_options) { return find_store(uri, store_options); }};
    service_ = std::move(*MetadataService::open(parts, options, 99));
  }
  void close() {
    if (!service_) return;
    const Status stopped = run(service_->stop(Deadline::after(clock, std::chrono::seconds(1))));
    (void)stopped;
    service_.reset();
    settle();  // its timer ends here, while the clock it sleeps on is there
  }
  void reopen() {
    close();
    open();
  }

  // A task that was started, and its end.
  template <class T>
  struct Pending {
    std::shared_ptr<std::optional<Result<T>>> result = std::make_shared<std::optional<Result<T>>>();
    bool done() const { return result->has_value(); }
  };
  template <class T>
  Pending<T> start(Task<T> task) {
    Pending<T> pending;
    asio::co_spawn(context_, std::move(task), [result = pending.result](std::exception_ptr failed, Result<T> value) {
      if (failed) value = Error(Code::internal, "the task threw");
      *result = std::move(value);
    });
    return pending;
  }
  // Runs handlers until it ended, without moving the clock.
  template <class T>
  Result<T> finish(Pending<T> pending) {
    while (!pending.done()) context_.run_one();
    return **pending.result;
  }
  template <class T>
  Result<T> run(Task<T> task) { return finish(start(std::move(task))); }
  // Everything that can happen without time passing. Opening stores hops through a real pool, so tests attach with run().
  void settle() { while (context_.poll() > 0) {} }
  void advance(Duration by) {
    clock.advance(by);
    settle();
  }

  SimStore& store(const std::string& uri) {
    std::shared_ptr<SimStore>& store = stores_[uri];
    if (!store) store = std::make_shared<SimStore>(clock, uri);
    return *store;
  }
  Result<AttachmentRow> attach(const std::string& path, const std::string& uri, AttachmentSettings settings = {}) {
    if (!opener_) store(uri);
    return run(service_->attach(parse(path), uri, settings, soon()));
  }
  Result<FileView> stat(const std::string& path, Freshness freshness = Freshness::cached) {
    return run(service_->stat(parse(path), freshness, soon()));
  }
  Result<ListView> list(const std::string& path, const std::string& after = "", std::size_t limit = 1000) {
    return run(service_->list(parse(path), after, limit, soon()));
  }
  std::vector<std::string> names(const std::string& path, std::size_t page = 1000) {
    std::vector<std::string> out;
    for (;;) {
      const Result<ListView> view = list(path, out.empty() ? "" : out.back(), page);
      if (!view) return {view.error().to_string()};
      for (const auto& [name, file] : view->entries) out.push_back(name);
      if (view->rest == ListView::Rest::none) return out;
    }
  }
  Deadline soon() const { return Deadline::after(clock, std::chrono::seconds(60)); }
  static NamespacePath parse(const std::string& text) { return *NamespacePath::parse(text); }
  MetadataService& service() { return *service_; }
  asio::io_context& context() { return context_; }

  ManualClock clock;
  MetadataOptions options;

 private:
  Result<std::shared_ptr<UnderStore>> find_store(const std::string& uri, const StoreOptions& store_options) {
    if (opener_) return opener_(uri, store_options);
    const auto found = stores_.find(uri);
    if (found == stores_.end()) return Error(Code::unsupported, uri + " is not a store of this test");
    return std::shared_ptr<UnderStore>(found->second);
  }

  MemoryMetaStore memory_;
  MetaStore* meta_;
  StoreOpener opener_;
  asio::io_context context_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(context_);
  BlockingPool sync_pool_{1, 16};
  BlockingPool store_pool_{4, 64};
  std::map<std::string, std::shared_ptr<SimStore>> stores_;
  std::unique_ptr<MetadataService> service_;
};

}  // namespace hearth::master
