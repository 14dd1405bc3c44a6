#include "tiering/disk/uring_disk.h"

#include "common/blocking.h"
#include "tiering/disk/disk_name.h"
#include "tiering/disk/uring_core.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <cerrno>
#include <set>
#include <utility>

namespace hearth::disk {
namespace {

using Kind = UringRequest::Kind;

// For ftruncate, statfs and listing, which rings of liburing 2.3 have not; one more, since check_place() is for a device that hangs.
constexpr std::size_t blocking_threads = 3;
constexpr std::size_t max_blocking_queued = 4096;
constexpr std::uint32_t new_directory_mode = 0700;
constexpr std::uint64_t new_file_mode = 0600;
constexpr std::uint32_t data_sync = 1;  // IORING_FSYNC_DATASYNC
constexpr std::uint32_t punch_mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

class UringDisk final : public Disk {
 public:
  UringDisk(std::shared_ptr<UringCore> core, DiskTraits traits)
      : core_(std::move(core)), traits_(std::move(traits)), pool_(blocking_threads, max_blocking_queued) {}
  ~UringDisk() override { core_->abandon(); }

  const DiskTraits& traits() const override { return traits_; }
  DiskBuffer buffer(std::uint64_t length_bytes) override { return core_->buffers().take(length_bytes); }
  Task<DiskFileId> open(std::string name, DiskOpen how, DiskCaching caching) override;
  Task<> close(DiskFileId file) override;
  Task<> read(DiskFileId file, std::uint64_t offset, std::span<std::byte> into) override {
    return core_->transfer(Kind::read, file, offset, into);
  }
  Task<> write(DiskFileId file, std::uint64_t offset, std::span<const std::byte> bytes) override {
    // The kernel only reads from it; one request type serves both directions.
    return core_->transfer(Kind::write, file, offset, {const_cast<std::byte*>(bytes.data()), bytes.size()});
  }
  Task<> sync(DiskFileId file) override { return core_->ask_file(file, {.kind = Kind::sync, .mode = data_sync}, "sync"); }
  Task<> allocate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> truncate(DiskFileId file, std::uint64_t length_bytes) override;
  Task<> punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) override;
  Task<std::uint64_t> length_bytes(DiskFileId file) override;
  Result<UniqueFd> share(DiskFileId file) override;
  Task<> remove(std::string name) override;
  Task<> rename(std::string from, std::string to) override;
  Task<> sync_directory() override;
  Task<std::vector<DiskEntry>> list(std::string after, std::size_t limit) override;
  Task<DiskSpace> space() override;
  Task<> check_place() override;
  Task<> shut_down() override;

 private:
  Task<UniqueFd> open_descriptor(std::string name, std::uint64_t flags);
  Task<> make_directory_of(std::string name);
  Task<> sync_one_directory(std::string directory);
  PosixDirectory& directory() { return core_->directory(); }
  PosixFile view(const UringCore::Files::Slot& slot) {
    return {.directory = &directory(), .fd = slot.entry.fd.get(), .name = slot.entry.name};
  }
  void note_changed(const std::string& name) {
    changed_directories_.emplace(directory_of(name));
    changed_directories_.emplace("");  // the subdirectory may be new itself
  }

  // Set once
  std::shared_ptr<UringCore> core_;  // shared with its posted turns
  DiskTraits traits_;
  described::OpenDisk shown_{traits_.engine, traits_.direct ? "yes" : "no"};
  // Executor only
  std::set<std::string> changed_directories_;
  // Joined first
  BlockingPool pool_;
};

Task<UniqueFd> UringDisk::open_descriptor(std::string name, std::uint64_t flags) {
  open_how how{};
  how.flags = flags;
  how.mode = (flags & O_CREAT) != 0 ? new_file_mode : 0;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const UringRequest request{.kind = Kind::open, .fd = directory().fd(), .path = name.c_str(), .how = &how};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  if (*answer == -ENOENT && (flags & O_CREAT) != 0 && !directory_of(name).empty()) {
    CO_CHECK_OK(co_await make_directory_of(name));
    answer = co_await core_->ask(request);
    if (!answer) co_return std::move(answer).error();
  }
  if (*answer < 0) co_return directory().error(-*answer, "open", name);
  co_return UniqueFd(*answer);
}

Task<> UringDisk::make_directory_of(std::string name) {
  const std::string below(directory_of(name));
  const UringRequest request{
      .kind = Kind::make_directory, .fd = directory().fd(), .mode = new_directory_mode, .path = below.c_str()};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  if (*answer < 0 && *answer != -EEXIST) co_return directory().error(-*answer, "make directory", below);
  co_return ok();
}

Task<DiskFileId> UringDisk::open(std::string name, DiskOpen how, DiskCaching caching) {
  CO_CHECK_OK(core_->usable());
  CO_CHECK_OK(check_name(name));
  const UringCore::Call call(core_);
  const DiskCaching real = traits_.direct ? caching : DiskCaching::buffered;
  const auto flags = static_cast<std::uint64_t>(PosixDirectory::flags_of(how, real));
  auto opened = co_await open_descriptor(name, flags);
  if (!opened) co_return std::move(opened).error();
  if (how != DiskOpen::existing) note_changed(name);
  const PosixFile seen{.directory = &directory(), .fd = opened->get(), .name = name};
  CO_CHECK_OK(seen.length_bytes());
  UringFile entry{.name = std::move(name), .fd = std::move(*opened), .caching = caching};
  co_return core_->add_file(std::move(entry));
}

Task<> UringDisk::close(DiskFileId file) {
  auto* slot = core_->files().find(file);
  if (slot == nullptr) co_return not_open(file);
  const UringCore::Call call(core_);
  slot->closing = true;
  if (slot->in_flight > 0) {
    auto wait = [slot](Completion<> done) { slot->closer = std::move(done); };
    CO_CHECK_OK(co_await await_completion<>(wait));
  }
  UniqueFd fd = core_->take_file(file);
  // The last close of a removed file frees its blocks, which takes time.
  const UringRequest request{.kind = Kind::close, .fd = fd.get()};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  static_cast<void>(fd.release());
  co_return ok();
}

Task<> UringDisk::allocate(DiskFileId file, std::uint64_t length_bytes) {
  if (length_bytes == 0) co_return ok();
  const UringRequest request{.kind = Kind::fallocate, .mode = FALLOC_FL_KEEP_SIZE, .length_bytes = length_bytes};
  auto allocated = co_await core_->ask_file(file, request, "allocate");
  co_return allocated;
}

Task<> UringDisk::punch(DiskFileId file, std::uint64_t offset, std::uint64_t length_bytes) {
  if (length_bytes == 0) co_return ok();
  const UringRequest request{.kind = Kind::fallocate, .mode = punch_mode, .offset = offset, .length_bytes = length_bytes};
  auto punched = co_await core_->ask_file(file, request, "punch");
  co_return punched;
}

Task<> UringDisk::truncate(DiskFileId file, std::uint64_t length_bytes) {
  CO_CHECK_OK(core_->usable());
  auto* slot = core_->files().find(file);
  if (slot == nullptr) co_return not_open(file);
  const UringCore::Call call(core_);
  ++slot->in_flight;
  const PosixFile open = view(*slot);
  std::function<Status()> work = [open, length_bytes] { return open.truncate(length_bytes); };
  auto truncated = co_await pool_.run<void>(std::move(work));
  core_->done_with(slot);
  co_return truncated;
}

// In the inode, which an open file keeps in memory: not worth a trip through the ring.
Task<std::uint64_t> UringDisk::length_bytes(DiskFileId file) {
  const auto* slot = core_->files().find(file);
  if (slot == nullptr) co_return not_open(file);
  co_return view(*slot).length_bytes();
}

Result<UniqueFd> UringDisk::share(DiskFileId file) {
  const auto* slot = core_->files().find(file);
  if (slot == nullptr) return not_open(file);
  return view(*slot).share();
}

Task<> UringDisk::remove(std::string name) {
  CO_CHECK_OK(core_->usable());
  CO_CHECK_OK(check_name(name));
  const UringCore::Call call(core_);
  CO_TRY(place, directory().place_of(name));
  const UringRequest request{.kind = Kind::unlink, .fd = place.directory, .path = place.leaf.c_str()};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  if (*answer < 0) co_return directory().error(-*answer, "remove", name);
  note_changed(name);
  co_return ok();
}

Task<> UringDisk::rename(std::string from, std::string to) {
  CO_CHECK_OK(core_->usable());
  CO_CHECK_OK(check_name(from));
  CO_CHECK_OK(check_name(to));
  const UringCore::Call call(core_);
  CO_TRY(source, directory().place_of(from));
  auto target = directory().place_of(to);
  if (target.code() == Code::not_found) {
    CO_CHECK_OK(co_await make_directory_of(to));
    target = directory().place_of(to);
  }
  if (!target) co_return std::move(target).error();
  const UringRequest request{.kind = Kind::rename,
                             .fd = source.directory,
                             .to_directory = target->directory,
                             .path = source.leaf.c_str(),
                             .to_path = target->leaf.c_str()};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  if (*answer < 0) co_return directory().error(-*answer, "rename", from);
  note_changed(from);
  note_changed(to);
  co_return ok();
}

Task<> UringDisk::sync_one_directory(std::string below) {
  UniqueFd opened;
  if (!below.empty()) {
    constexpr std::uint64_t flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    auto fd = co_await open_descriptor(below, flags);
    if (!fd) co_return std::move(fd).error();
    opened = std::move(*fd);
  }
  const UringRequest request{.kind = Kind::sync, .fd = below.empty() ? directory().fd() : opened.get()};
  auto answer = co_await core_->ask(request);
  if (!answer) co_return std::move(answer).error();
  if (*answer < 0) co_return directory().error(-*answer, "sync directory", below);
  co_return ok();
}

Task<> UringDisk::sync_directory() {
  CO_CHECK_OK(core_->usable());
  const UringCore::Call call(core_);
  const std::set<std::string> directories = std::exchange(changed_directories_, {});
  Status status = ok();
  for (const std::string& each : directories) {
    auto synced = co_await sync_one_directory(each);
    if (synced) continue;
    changed_directories_.insert(each);
    status = std::move(synced);
  }
  co_return status;
}

Task<std::vector<DiskEntry>> UringDisk::list(std::string after, std::size_t limit) {
  CO_CHECK_OK(core_->usable());
  const UringCore::Call call(core_);
  std::function<Result<std::vector<DiskEntry>>()> work = [this, &after, limit] { return directory().list(after, limit); };
  auto listed = co_await pool_.run<std::vector<DiskEntry>>(std::move(work));
  co_return listed;
}

Task<DiskSpace> UringDisk::space() {
  CO_CHECK_OK(core_->usable());
  const UringCore::Call call(core_);
  std::function<Result<DiskSpace>()> work = [this] { return directory().space(); };
  auto found = co_await pool_.run<DiskSpace>(std::move(work));
  co_return found;
}

Task<> UringDisk::check_place() {
  CO_CHECK_OK(core_->usable());
  const UringCore::Call call(core_);
  std::function<Status()> work = [this] { return directory().check_place(); };
  Status found = co_await pool_.run<void>(std::move(work));
  co_return found;
}

Task<> UringDisk::shut_down() {
  CO_CHECK_OK(co_await core_->drain());
  auto open = std::make_shared<std::vector<UniqueFd>>();  // shared: a std::function must be copyable
  for (const DiskFileId file : core_->files().ids()) open->push_back(core_->take_file(file));
  if (open->empty()) co_return ok();
  std::function<Status()> work = [open] {
    open->clear();
    return ok();
  };
  auto closed = co_await pool_.run<void>(std::move(work));
  co_return closed;
}

}  // namespace

Result<std::unique_ptr<Disk>> make_uring_disk(PosixDirectory& directory, const DiskOptions& options, DiskTraits traits,
                                              Executor executor) {
  TRY(core, UringCore::make(directory, options, std::move(executor)));
  return std::unique_ptr<Disk>(std::make_unique<UringDisk>(std::move(core), std::move(traits)));
}

}  // namespace hearth::disk
