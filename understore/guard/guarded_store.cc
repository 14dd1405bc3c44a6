#include "understore/guard/guarded_store.h"

#include "common/change_wire.h"
#include "understore/guard/guard_core.h"
#include "understore/guard/hedged_read.h"
#include "understore/store_upkeep.h"
#include "understore/tree_mover.h"

#include <functional>
#include <utility>

namespace hearth {
namespace {

using Verdict = CircuitBreaker::Verdict;

constexpr std::uint64_t usual_fetch_bytes = 8ULL << 20;

const Status& status_of(const Status& answer) { return answer; }
template <class T>
Status status_of(const Result<T>& answer) {
  return answer ? ok() : Status(answer.error());
}

// Twice is as good as once.
bool is_idempotent(const Change& change) {
  return std::holds_alternative<SetAttributes>(change) || std::holds_alternative<SyncDirectory>(change) || std::holds_alternative<LookAgain>(change);
}

class Guarded : public GuardedStore, public StoreUpkeep, public std::enable_shared_from_this<Guarded> {
 public:
  Guarded(std::shared_ptr<UnderStore> store, GuardOptions options, Clock& clock, std::uint64_t seed)
      : store_(std::move(store)), core_(std::string(store_->uri()), options, clock, seed),
        fetch_bytes_(options.fetch_bytes) {}

  std::string_view uri() const override { return store_->uri(); }
  StoreCapabilities capabilities() const override {
    StoreCapabilities capabilities = store_->capabilities();
    if (capabilities.preferred_read_bytes == 0) capabilities.preferred_read_bytes = usual_fetch_bytes;
    if (fetch_bytes_) capabilities.preferred_read_bytes = *fetch_bytes_;
    return capabilities;
  }
  GuardState guard_state() const override { return core_.state(); }

  Task<ObjectInfo> stat(std::string path, Deadline deadline) override {
    Call<ObjectInfo> call = [this, path](Deadline until) { return store_->stat(path, until); };
    return ask<ObjectInfo>(StoreOp::stat, Repeatable::always, std::move(path), std::move(call), deadline);
  }

  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override {
    Call<std::unique_ptr<Listing>> call = [this, path](Deadline until) { return store_->list(path, until); };
    CO_TRY(listing, co_await ask<std::unique_ptr<Listing>>(StoreOp::list, Repeatable::always, path, std::move(call), deadline));
    std::unique_ptr<Listing> guarded = std::make_unique<GuardedListing>(shared_from_this(), std::move(path), std::move(listing));
    co_return std::move(guarded);
  }

  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override {
    return read_with(std::move(path), std::move(version), offset, into, ReadOptions(), deadline);
  }
  Task<> read_with(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                   ReadOptions options, Deadline deadline) override {
    auto job = std::make_shared<ReadJob>();
    job->path = path;
    job->version = std::move(version);
    job->offset = offset;
    job->into = into;
    job->progress = std::move(options.progress);
    Call<void> call = [this, job](Deadline until) { return hedged_read(store_, core_, job, until); };
    return ask<void>(StoreOp::read, Repeatable::always, std::move(path), std::move(call), deadline);
  }

  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override {
    Call<ObjectInfo> call = [this, path, content = std::move(content)](Deadline until) {
      return store_->write(path, content, until);
    };
    return ask<ObjectInfo>(StoreOp::write, Repeatable::when_refused, std::move(path), std::move(call), deadline);
  }
  Task<> remove(std::string path, Deadline deadline) override {
    Call<void> call = [this, path](Deadline until) { return store_->remove(path, until); };
    return ask<void>(StoreOp::remove, Repeatable::when_refused, std::move(path), std::move(call), deadline);
  }
  Task<> rename(std::string from, std::string to, Deadline deadline) override {
    Call<void> call = [this, from, to = std::move(to)](Deadline until) { return store_->rename(from, to, until); };
    return ask<void>(StoreOp::rename, Repeatable::when_refused, std::move(from), std::move(call), deadline);
  }
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override {
    Call<ObjectInfo> call = [this, path, mode](Deadline until) { return store_->make_directory(path, mode, until); };
    return ask<ObjectInfo>(StoreOp::make_directory, Repeatable::when_refused, std::move(path), std::move(call), deadline);
  }
  Task<ChangeResult> change(Change change, Caller caller, Deadline deadline) override {
    const Repeatable repeatable = is_idempotent(change) ? Repeatable::always : Repeatable::when_refused;
    std::string path = path_of(change);
    Call<ChangeResult> call = [this, change = std::move(change), caller = std::move(caller), deadline](Deadline) {
      return store_->change(change, caller, deadline);
    };
    return ask<ChangeResult>(StoreOp::change, repeatable, std::move(path), std::move(call), deadline);
  }
  Task<ObjectInfo> upload(std::string path, StagedContent content, Deadline deadline) override {
    const bool replaces = content.replaces == StagedContent::Replaces::anything;
    Call<ObjectInfo> call = [this, path, content, deadline](Deadline) { return store_->upload(path, content, deadline); };
    return ask<ObjectInfo>(StoreOp::upload, replaces ? Repeatable::always : Repeatable::when_refused, std::move(path), std::move(call), deadline);
  }
  // Of this host's kernel, or answered without asking a store: nothing to guard, nothing to learn.
  Task<StoreFile> open_for_writing(OpenForWriting open, Caller caller, Deadline deadline) override {
    return store_->open_for_writing(std::move(open), std::move(caller), deadline);
  }
  Task<std::string> xattr(std::string path, std::string name, Caller caller, Deadline deadline) override {
    return store_->xattr(std::move(path), std::move(name), std::move(caller), deadline);
  }
  Task<std::vector<std::string>> xattr_names(std::string path, Caller caller, Deadline deadline) override {
    return store_->xattr_names(std::move(path), std::move(caller), deadline);
  }
  Task<std::optional<StoreSpace>> space(Deadline deadline) override { return store_->space(deadline); }
  Task<std::uint64_t> sweep(Deadline deadline) override {
    Call<std::uint64_t> call = [this](Deadline until) { return sweep_once(dynamic_cast<StoreUpkeep*>(store_.get()), until); };
    return ask<std::uint64_t>(StoreOp::sweep, Repeatable::when_refused, std::string(), std::move(call), deadline);
  }

 protected:
  template <class T>
  using Call = std::function<Task<T>(Deadline until)>;
  UnderStore& behind() { return *store_; }

  template <class T>
  Task<T> ask(StoreOp op, Repeatable repeatable, std::string path, Call<T> call, Deadline deadline) {
    core_.called();
    for (std::uint32_t next = 2;; ++next) {
      const Verdict verdict = core_.ask_breaker();
      if (verdict == Verdict::refuse) co_return core_.refusal();
      if (verdict == Verdict::probe) CO_CHECK_OK(co_await probe(path, deadline));
      std::optional<Turnstile::Turn> turn = core_.turns().try_enter();
      if (!turn) {
        CO_TRY(waited, co_await core_.turns().enter(deadline));
        turn = std::move(waited);
      }
      const TimePoint began = core_.clock().now();
      const Deadline until = core_.attempt_deadline(deadline);
      Result<T> answer = co_await call(until);
      core_.learn(op, status_of(answer), began);
      turn.reset();
      if (answer) co_return std::move(answer);
      const std::optional<Duration> pause = core_.retry_after(answer.error(), next, repeatable, deadline);
      if (!pause) co_return std::move(answer);
      CO_CHECK_OK(co_await core_.clock().sleep_for(*pause));
    }
  }

 private:
  class GuardedListing final : public Listing {
   public:
    GuardedListing(std::shared_ptr<Guarded> guard, std::string path, std::unique_ptr<Listing> listing)
        : guard_(std::move(guard)), path_(std::move(path)), listing_(std::move(listing)),
          repeatable_(guard_->store_->capabilities().listing_resumes ? Repeatable::always : Repeatable::never) {}

    Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override {
      using Entries = std::vector<ObjectInfo>;
      Call<Entries> call = [this, limit](Deadline until) { return listing_->next(limit, until); };
      return guard_->ask<Entries>(StoreOp::list_next, repeatable_, path_, std::move(call), deadline);
    }

   private:
    const std::shared_ptr<Guarded> guard_;
    const std::string path_;
    const std::unique_ptr<Listing> listing_;
    const Repeatable repeatable_;  // after a failure that lost entries, the next answer could pass for the end
  };

  static Task<std::uint64_t> sweep_once(StoreUpkeep* store, Deadline deadline) {
    if (store == nullptr) co_return std::uint64_t{0};
    co_return co_await store->sweep(deadline);
  }

  // Something small, so that a slow line does not pass for a dead one.
  Task<> probe(std::string path, Deadline deadline) {
    const TimePoint began = core_.clock().now();
    const Deadline until = core_.probe_deadline(deadline);
    const Result<ObjectInfo> seen = co_await store_->stat(std::move(path), until);
    const bool answered = core_.learn_probe(status_of(seen), began);
    if (answered) co_return ok();
    co_return core_.refusal();
  }

  const std::shared_ptr<UnderStore> store_;
  GuardCore core_;
  const std::optional<std::uint64_t> fetch_bytes_;
};

// Of a store that moves trees in stretches. Each has the time of its caller, and may be repeated after any failure.
class GuardedTrees final : public Guarded, public TreeMover {
 public:
  using Guarded::Guarded;

  Task<Prepared> prepare_move(Rename rename, Deadline deadline) override {
    std::string path = rename.from;
    Call<Prepared> call = [this, rename = std::move(rename)](Deadline until) { return trees().prepare_move(rename, until); };
    return ask<Prepared>(StoreOp::tree, Repeatable::always, std::move(path), std::move(call), deadline);
  }
  Task<TreeStretch> copy_stretch(TreePair pair, std::string after, Deadline deadline) override {
    std::string path = pair.from;
    Call<TreeStretch> call = [this, pair = std::move(pair), after = std::move(after), deadline](Deadline) {
      return trees().copy_stretch(pair, after, deadline);
    };
    return ask<TreeStretch>(StoreOp::tree, Repeatable::always, std::move(path), std::move(call), deadline);
  }
  Task<TreeStretch> uncopy_stretch(TreePair pair, std::string after, Marker marker, Deadline deadline) override {
    std::string path = pair.to;
    Call<TreeStretch> call = [this, pair = std::move(pair), after = std::move(after), marker, deadline](Deadline) {
      return trees().uncopy_stretch(pair, after, marker, deadline);
    };
    return ask<TreeStretch>(StoreOp::tree, Repeatable::always, std::move(path), std::move(call), deadline);
  }
  Task<TreeStretch> remove_stretch(std::string directory, std::string after, std::int64_t made_before_ns, Deadline deadline) override {
    std::string path = directory;
    Call<TreeStretch> call = [this, directory = std::move(directory), after = std::move(after), made_before_ns, deadline](Deadline) {
      return trees().remove_stretch(directory, after, made_before_ns, deadline);
    };
    return ask<TreeStretch>(StoreOp::tree, Repeatable::always, std::move(path), std::move(call), deadline);
  }

 private:
  TreeMover& trees() { return dynamic_cast<TreeMover&>(behind()); }
};

}  // namespace

std::shared_ptr<GuardedStore> guard_store(std::shared_ptr<UnderStore> store, GuardOptions options, Clock& clock,
                                          std::uint64_t seed) {
  if (dynamic_cast<TreeMover*>(store.get()) != nullptr) return std::make_shared<GuardedTrees>(std::move(store), options, clock, seed);
  return std::make_shared<Guarded>(std::move(store), options, clock, seed);
}

}  // namespace hearth
