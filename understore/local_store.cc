#include "understore/local_store.h"

#include "common/object_identity.h"
#include "understore/local_files.h"
#include "understore/store_path.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace hearth {
namespace {

constexpr int max_settle_looks = 5;

// What the store and its listings share; listings may outlive the store.
struct Shared {
  Shared(ConfinedRoot root, BlockingPool& pool, Clock& clock) : files(std::move(root), clock), pool(pool), clock(clock) {}
  LocalFiles files;
  BlockingPool& pool;
  Clock& clock;
};
using SharedHandle = std::shared_ptr<Shared>;

class LocalListing final : public Listing {
 public:
  LocalListing(SharedHandle shared, std::string path, OpenDirectory open)
      : shared_(std::move(shared)), path_(std::move(path)), open_(std::move(open)) {}

  Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override {
    std::function<Result<ListedBatch>()> work = [this, limit, deadline]() -> Result<ListedBatch> {
      CHECK_OK(shared_->files.check_deadline(path_, deadline));
      return shared_->files.list(open_, path_, limit);
    };
    CO_TRY(batch, co_await shared_->pool.run<ListedBatch>(std::move(work)));
    const bool settled = std::all_of(batch.entries.begin(), batch.entries.end(),
                                     [](const LocalObject& entry) { return entry.settled == Settled::yes; });
    if (!settled) {
      CO_CHECK_OK(co_await shared_->clock.sleep_for(settle_time));
      std::function<Result<ListedBatch>()> again = [this, &batch] {
        return shared_->files.look_again(open_, path_, std::move(batch));
      };
      CO_TRY(second, co_await shared_->pool.run<ListedBatch>(std::move(again)));
      batch = std::move(second);
    }
    std::vector<ObjectInfo> entries;
    entries.reserve(batch.entries.size());
    for (LocalObject& entry : batch.entries) entries.push_back(std::move(entry.info));
    co_return entries;
  }

 private:
  const SharedHandle shared_;
  const std::string path_;
  const OpenDirectory open_;
};

template <class One>
const std::string& path_of(const One& change) {
  return change.path;
}
const std::string& path_of(const Rename& change) { return change.from; }

class LocalStore final : public UnderStore {
 public:
  LocalStore(std::string uri, SharedHandle shared, StoreCapabilities capabilities)
      : uri_(std::move(uri)), shared_(std::move(shared)), capabilities_(capabilities) {}

  std::string_view uri() const override { return uri_; }
  StoreCapabilities capabilities() const override { return capabilities_; }

  Task<ObjectInfo> stat(std::string path, Deadline deadline) override {
    std::function<Result<LocalObject>()> work = [this, &path, deadline]() -> Result<LocalObject> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.look(path);
    };
    CO_TRY(object, co_await shared_->pool.run<LocalObject>(work));
    for (int look = 1; object.settled == Settled::no && look < max_settle_looks; ++look) {
      CO_CHECK_OK(co_await shared_->clock.sleep_for(settle_time));
      CO_TRY(again, co_await shared_->pool.run<LocalObject>(work));
      object = std::move(again);
    }
    if (object.settled == Settled::no) add_nonce(object.info);
    co_return std::move(object.info);
  }

  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override {
    std::function<Result<OpenDirectory>()> work = [this, &path, deadline]() -> Result<OpenDirectory> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.open_directory(path);
    };
    CO_TRY(open, co_await shared_->pool.run<OpenDirectory>(std::move(work)));
    std::unique_ptr<Listing> listing = std::make_unique<LocalListing>(shared_, std::move(path), std::move(open));
    co_return listing;
  }

  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override {
    std::function<Status()> work = [this, &path, &version, offset, into, deadline] {
      return shared_->files.read(path, version, offset, into, deadline);
    };
    Status outcome = co_await shared_->pool.run<void>(work);
    // A version that had not settled is believed once the file has been quiet: a read right after a write waits for that.
    if (!outcome && outcome.code() == Code::stale && has_nonce(version)) {
      CO_CHECK_OK(co_await shared_->clock.sleep_for(settle_time));
      outcome = co_await shared_->pool.run<void>(work);
    }
    co_return outcome;
  }

  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override {
    std::function<Result<LocalObject>()> work = [this, &path, &content, deadline]() -> Result<LocalObject> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.write(path, content);
    };
    CO_CHECK_OK(co_await shared_->pool.run<LocalObject>(std::move(work)));
    co_return co_await stat(path, deadline);  // its settled version
  }

  Task<> remove(std::string path, Deadline deadline) override {
    std::function<Status()> work = [this, &path, deadline]() -> Status {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.remove(path);
    };
    co_return co_await shared_->pool.run<void>(std::move(work));
  }

  Task<> rename(std::string from, std::string to, Deadline deadline) override {
    std::function<Status()> work = [this, &from, &to, deadline]() -> Status {
      CHECK_OK(shared_->files.check_deadline(from, deadline));
      return shared_->files.rename(from, to);
    };
    co_return co_await shared_->pool.run<void>(std::move(work));
  }

  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override {
    std::function<Result<LocalObject>()> work = [this, &path, mode, deadline]() -> Result<LocalObject> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.make_directory(path, mode);
    };
    CO_TRY(object, co_await shared_->pool.run<LocalObject>(std::move(work)));
    co_return std::move(object.info);
  }

  Task<ChangeResult> change(Change change, Caller caller, Deadline deadline) override {
    std::function<Result<ChangeResult>()> work = [this, &change, &caller, deadline]() -> Result<ChangeResult> {
      const std::string& path = std::visit([](const auto& one) -> const std::string& { return path_of(one); }, change);
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.change(change, caller);
    };
    co_return co_await shared_->pool.run<ChangeResult>(std::move(work));
  }

  Task<StoreFile> open_for_writing(OpenForWriting open, Caller caller, Deadline deadline) override {
    std::function<Result<StoreFile>()> work = [this, &open, &caller, deadline]() -> Result<StoreFile> {
      CHECK_OK(shared_->files.check_deadline(open.path, deadline));
      return shared_->files.open_for_writing(open, caller);
    };
    co_return co_await shared_->pool.run<StoreFile>(std::move(work));
  }

  Task<std::string> xattr(std::string path, std::string name, Caller caller, Deadline deadline) override {
    std::function<Result<std::string>()> work = [this, &path, &name, &caller, deadline]() -> Result<std::string> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.xattr(path, name, caller);
    };
    co_return co_await shared_->pool.run<std::string>(std::move(work));
  }

  Task<std::vector<std::string>> xattr_names(std::string path, Caller caller, Deadline deadline) override {
    using Names = std::vector<std::string>;
    std::function<Result<Names>()> work = [this, &path, &caller, deadline]() -> Result<Names> {
      CHECK_OK(shared_->files.check_deadline(path, deadline));
      return shared_->files.xattr_names(path, caller);
    };
    co_return co_await shared_->pool.run<Names>(std::move(work));
  }

  Task<std::optional<StoreSpace>> space(Deadline deadline) override {
    using Space = std::optional<StoreSpace>;
    std::function<Result<Space>()> work = [this, deadline]() -> Result<Space> {
      CHECK_OK(shared_->files.check_deadline("", deadline));
      TRY(space, shared_->files.space());
      return Space(std::move(space));
    };
    co_return co_await shared_->pool.run<Space>(std::move(work));
  }

 private:
  const std::string uri_;
  const SharedHandle shared_;
  const StoreCapabilities capabilities_;
};

}  // namespace

Result<std::shared_ptr<UnderStore>> open_local_store(std::string_view uri, BlockingPool& pool, Clock& clock) {
  TRY(directory, directory_of_file_uri(uri));
  TRY(root, ConfinedRoot::open(directory));
  struct statvfs file_system {};
  const bool read_only = ::statvfs(directory.c_str(), &file_system) == 0 && (file_system.f_flag & ST_RDONLY) != 0;
  using Writing = StoreCapabilities::Writing;
  const StoreCapabilities capabilities{.writable = !read_only,
                                       .directory_version_tracks_entries = true,
                                       .writing = read_only ? Writing::refused : Writing::in_place};
  auto shared = std::make_shared<Shared>(std::move(root), pool, clock);
  std::shared_ptr<UnderStore> store =
      std::make_shared<LocalStore>(file_uri_of_directory(directory), std::move(shared), capabilities);
  return store;
}

}  // namespace hearth
