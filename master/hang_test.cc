// An under-store that the kernel does not return from costs its own readers time, and nobody else.
#include "master/testing/names_harness.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

namespace hearth::master {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t threads = 4;
constexpr std::size_t at_once = 2;

// Calls into it return when somebody opens it; most() is how many were inside at once.
class Kernel {
 public:
  ~Kernel() { EXPECT_EQ(inside_, 0U); }
  void close() { set(State::closed); }
  void open() { set(State::open); }
  // One call into it.
  void pass() {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++inside_);
    entered_.notify_all();
    opened_.wait(lock, [this] { return state_ == State::open; });
    --inside_;
  }
  void wait_for(std::size_t inside) {
    std::unique_lock lock(mutex_);
    entered_.wait(lock, [&] { return inside_ >= inside; });
  }
  std::size_t most() const {
    const std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  enum class State : std::uint8_t { open, closed };
  void set(State state) {
    const std::lock_guard lock(mutex_);
    state_ = state;
    opened_.notify_all();
  }
  mutable std::mutex mutex_;
  std::condition_variable opened_;
  std::condition_variable entered_;
  State state_ = State::open;
  std::size_t inside_ = 0;
  std::size_t most_ = 0;
};

// A directory in which every name is a file; each question takes a thread of the pool for as long as its kernel wants.
class KernelStore final : public UnderStore {
 public:
  KernelStore(std::string uri, BlockingPool& pool, Kernel& kernel) : uri_(std::move(uri)), pool_(pool), kernel_(kernel) {}

  std::string_view uri() const override { return uri_; }
  StoreCapabilities capabilities() const override { return {}; }
  Task<ObjectInfo> stat(std::string path, Deadline) override {
    std::function<Result<ObjectInfo>()> work = [this, path]() -> Result<ObjectInfo> {
      kernel_.pass();
      ObjectInfo info;
      info.name = path;
      info.type = path.empty() ? FileType::directory : FileType::regular;
      info.version = "v";
      return info;
    };
    co_return co_await pool_.run<ObjectInfo>(std::move(work));
  }
  Task<std::unique_ptr<Listing>> list(std::string, Deadline) override {
    std::function<Result<std::unique_ptr<Listing>>()> work = [this]() -> Result<std::unique_ptr<Listing>> {
      kernel_.pass();
      std::unique_ptr<Listing> listing = std::make_unique<Empty>();
      return listing;
    };
    co_return co_await pool_.run<std::unique_ptr<Listing>>(std::move(work));
  }
  Task<> read(std::string, std::string, std::uint64_t, std::span<std::byte>, Deadline) override { co_return refused(); }
  Task<ObjectInfo> write(std::string, std::string, Deadline) override { co_return refused(); }
  Task<> remove(std::string, Deadline) override { co_return refused(); }
  Task<> rename(std::string, std::string, Deadline) override { co_return refused(); }
  Task<ObjectInfo> make_directory(std::string, std::uint32_t, Deadline) override { co_return refused(); }

 private:
  class Empty final : public Listing {
   public:
    Task<std::vector<ObjectInfo>> next(std::size_t, Deadline) override { co_return std::vector<ObjectInfo>(); }
  };
  static Error refused() { return {Code::unsupported, "the master does not do that"}; }

  const std::string uri_;
  BlockingPool& pool_;
  Kernel& kernel_;
};

class HangingStore : public ::testing::Test {
 protected:
  void SetUp() override {
    names_.options.store_calls_at_once = at_once;
    names_.reopen();
    AttachmentSettings always_ask;
    always_ask.metadata_ttl = 0s;
    always_ask.serve_stale = AttachmentSettings::ServeStale::never;
    ASSERT_TRUE(names_.attach("/bad", "kernel://bad", always_ask));
    ASSERT_TRUE(names_.attach("/good", "kernel://good", always_ask));
  }
  void TearDown() override {
    kernel_.open();  // also after a failure: nothing can end before
    names_.close();
  }
  NamesHarness::Pending<FileView> start_stat(const std::string& path) {
    return names_.start(names_.service().stat(NamesHarness::parse(path), Freshness::cached, names_.soon()));
  }
  // Runs until it ended; false when it is stuck.
  bool ends(const NamesHarness::Pending<FileView>& stat) {
    while (!stat.done() && names_.context().run_one_for(10s) > 0) {}
    return stat.done();
  }

  Kernel kernel_;
  Kernel healthy_;
  BlockingPool pool_{threads, 64};
  NamesHarness names_{[this](const std::string& uri, const StoreOptions&) -> Result<std::shared_ptr<UnderStore>> {
    Kernel& kernel = uri == "kernel://bad" ? kernel_ : healthy_;
    kernel.pass();
    std::shared_ptr<UnderStore> store = std::make_shared<KernelStore>(uri, pool_, kernel);
    return store;
  }};
};

TEST_F(HangingStore, LeavesThreadsForTheOthers) {
  kernel_.close();
  std::vector<NamesHarness::Pending<FileView>> stuck;
  for (int i = 0; i < 10; ++i) stuck.push_back(start_stat("/bad/f" + std::to_string(i)));
  names_.settle();
  kernel_.wait_for(at_once);
  for (int i = 0; i < 10; ++i) {
    const auto fine = start_stat("/good/f" + std::to_string(i));
    ASSERT_TRUE(ends(fine)) << "the hanging store holds every thread";
    EXPECT_TRUE(**fine.result) << i;
  }
  EXPECT_EQ(kernel_.most(), at_once);
  names_.advance(names_.options.store_deadline + 1ms);
  std::size_t timed_out = 0;
  for (const auto& stat : stuck) timed_out += stat.done() ? 1 : 0;
  EXPECT_EQ(timed_out, stuck.size() - at_once) << "who waited for a turn fails at the deadline of the question";
  names_.advance(60s);
  for (const auto& stat : stuck) {
    ASSERT_TRUE(stat.done()) << "who is stuck fails at the reader's own deadline";
    EXPECT_EQ((*stat.result)->code(), Code::deadline_exceeded);
  }
}

TEST_F(HangingStore, IsAskedAgainWhenTheKernelReturns) {
  kernel_.close();
  const auto first = start_stat("/bad/f");
  const auto second = start_stat("/bad/g");
  const auto third = start_stat("/bad/h");
  names_.settle();
  kernel_.wait_for(at_once);
  kernel_.open();
  for (const auto& stat : {first, second, third}) {
    ASSERT_TRUE(ends(stat));
    EXPECT_TRUE(**stat.result) << (*stat.result)->error().to_string();
  }
  EXPECT_EQ(kernel_.most(), at_once);
}

TEST_F(HangingStore, HoldsNoMoreThreadsWhileItIsBeingOpened) {
  names_.reopen();  // a restarted master opens its stores when they are first asked
  kernel_.close();
  std::vector<NamesHarness::Pending<FileView>> stuck;
  for (int i = 0; i < 10; ++i) stuck.push_back(start_stat("/bad/f" + std::to_string(i)));
  names_.settle();
  kernel_.wait_for(at_once);
  const auto fine = start_stat("/good/f");
  ASSERT_TRUE(ends(fine)) << "opening the hanging store holds every thread";
  EXPECT_TRUE(**fine.result);
  EXPECT_EQ(kernel_.most(), at_once);
}

}  // namespace
}  // namespace hearth::master
