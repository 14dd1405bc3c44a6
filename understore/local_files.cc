#include "understore/local_files.h"

#include "common/log.h"
#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

namespace hearth {
namespace {

// The deadline is looked at between reads of this size.
constexpr std::size_t read_step_bytes = 4U << 20;

}  // namespace

Status LocalFiles::check_deadline(const std::string& path, Deadline deadline) const {
  if (!deadline.expired(clock_.now())) return ok();
  return Error(Code::deadline_exceeded, printable_path(path) + " in " + printable_path(directory_) +
                                            " was not answered in time; is the file system slow or hung?");
}

RootHandle LocalFiles::held_root() const {
  const std::lock_guard lock(mutex_);
  return root_;
}

Result<RootHandle> LocalFiles::present_root() {
  RootHandle held = held_root();
  TRY(place, held->look_at_place());
  if (place == ConfinedRoot::Place::same) return held;
  Result<ConfinedRoot> opened = ConfinedRoot::open(directory_);
  // Looked at again: an unmount between the look and the open must not pass for a swap.
  if (!opened || !held->shares_mount(*opened)) {
    return Error(Code::unavailable, "the attached directory " + printable_path(directory_) +
                                        " is being replaced or unmounted; try again");
  }
  RootHandle fresh = std::make_shared<const ConfinedRoot>(std::move(*opened));
  log_warn("under_store_root_replaced", {{"directory", directory_}});
  const std::lock_guard lock(mutex_);
  root_ = fresh;
  return fresh;
}

Result<LocalObject> LocalFiles::look(const std::string& path) {
  TRY(root, present_root());
  TRY(fd, root->open_beneath(path, O_PATH));
  return look_at_fd(*root, fd.get(), path);
}

// Reads go through the held root: the version says whether the bytes are right. Only what is not found so may be in
// a root that took its place.
Result<DescriptorCache::Descriptor> LocalFiles::open_for_reading(const std::string& path, const std::string& version) {
  const RootHandle held = held_root();
  Result<DescriptorCache::Descriptor> opened = open_beneath(*held, path, version);
  if (!opened) {
    TRY(present, present_root());
    if (present != held) opened = open_beneath(*present, path, version);
  }
  if (opened) open_.insert(path, version, *opened, clock_.now());
  return opened;
}

Result<DescriptorCache::Descriptor> LocalFiles::open_beneath(const ConfinedRoot& root, const std::string& path,
                                                             const std::string& version) const {
  // First without opening: the open of a device or FIFO can have effects or wait.
  TRY(found, root.open_beneath(path, O_PATH));
  struct stat status {};
  if (::fstat(found.get(), &status) != 0) return root.error_for(path, errno);
  if (S_ISDIR(status.st_mode)) return Error(Code::is_directory, printable_path(path) + " is a directory; list it");
  if (S_ISLNK(status.st_mode)) return root.error_for(path, ELOOP);
  if (!S_ISREG(status.st_mode)) {
    return Error(Code::unsupported, printable_path(path) + " is a FIFO, socket or device; only regular files can be "
                                                           "read through the cache");
  }
  // Exactly the file that was looked at, whatever the path means by now.
  const std::string self = "/proc/self/fd/" + std::to_string(found.get());
  UniqueFd fd(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return root.error_for(path, errno);
  // Pages are read in parallel, each by one large call: the kernel should fetch what is asked for at once, and leave the
  // reading ahead to whoever asks (its own guesses, made for one reader per descriptor, cut these into 128 KiB pieces).
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
  auto descriptor = std::make_shared<const OpenFile>(std::move(fd));
  CHECK_OK(check_version(root, descriptor->fd(), path, version));
  return descriptor;
}

Status LocalFiles::read(const std::string& path, const std::string& version, std::uint64_t offset,
                        std::span<std::byte> into, Deadline deadline) {
  CHECK_OK(check_deadline(path, deadline));
  DescriptorCache::Descriptor descriptor = open_.find(path, version, clock_.now());
  if (descriptor == nullptr) {
    TRY(opened, open_for_reading(path, version));
    descriptor = std::move(opened);
  }
  Status status = read_from(*descriptor, path, version, offset, into, deadline);
  if (!status) open_.erase(path, version);
  return status;
}

Status LocalFiles::read_from(const OpenFile& file, const std::string& path, const std::string& version, std::uint64_t offset,
                             std::span<std::byte> into, Deadline deadline) const {
  const RootHandle root = held_root();
  CHECK_OK(check_version(*root, file.fd(), path, version));
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t wanted = std::min(into.size() - done, read_step_bytes);
    const ssize_t count = file.read(into.subspan(done, wanted), offset + done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return root->error_for(path, errno);
    if (count == 0) {
      return Error(Code::stale, printable_path(path) + " ends at " + std::to_string(offset + done) +
                                    ", before its version says; open it again");
    }
    done += static_cast<std::size_t>(count);
    if (done < into.size()) CHECK_OK(check_deadline(path, deadline));
  }
  return check_version(*root, file.fd(), path, version);
}

Result<OpenDirectory> LocalFiles::open_directory(const std::string& path) {
  TRY(root, present_root());
  TRY(fd, root->open_beneath(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK));
  DirectoryStream stream(::fdopendir(fd.get()));
  if (stream == nullptr) return root->error_for(path, errno);
  fd.release();
  OpenDirectory open;
  open.root = std::move(root);
  open.stream = std::move(stream);
  return open;
}

Result<ListedBatch> LocalFiles::list(const OpenDirectory& open, const std::string& path, std::size_t limit) const {
  ListedBatch batch;
  while (batch.entries.size() < limit) {
    errno = 0;
    const dirent* entry = ::readdir(open.stream.get());
    if (entry == nullptr) {
      if (errno != 0 && errno != ENOENT) return open.root->error_for(path, errno);
      // A directory that was removed, or whose mount went away, ends like an empty one.
      CHECK_OK(open.root->check_present());
      break;
    }
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name.starts_with(unfinished_prefix)) continue;
    auto object = look_at_entry(*open.root, ::dirfd(open.stream.get()), name, path);
    if (!object && object.code() == Code::not_found) continue;
    if (!object) return std::move(object).error();
    batch.entries.push_back(std::move(*object));
  }
  return batch;
}

Result<ListedBatch> LocalFiles::look_again(const OpenDirectory& open, const std::string& path, ListedBatch batch) const {
  ListedBatch again;
  for (LocalObject& entry : batch.entries) {
    if (entry.settled == Settled::yes) {
      again.entries.push_back(std::move(entry));
      continue;
    }
    auto object = look_at_entry(*open.root, ::dirfd(open.stream.get()), entry.info.name, path);
    if (!object && object.code() == Code::not_found) continue;
    if (!object) return std::move(object).error();
    if (object->settled == Settled::no) add_nonce(object->info);
    again.entries.push_back(std::move(*object));
  }
  return again;
}

Result<StoreSpace> LocalFiles::space() {
  TRY(root, present_root());
  struct statvfs told {};
  const UniqueFd place = root->try_open("", 0);
  if (!place || ::fstatvfs(place.get(), &told) != 0) return root->error_for("", errno);
  StoreSpace out;
  out.total_bytes = told.f_blocks * told.f_frsize;
  out.free_bytes = told.f_bfree * told.f_frsize;
  out.available_bytes = told.f_bavail * told.f_frsize;
  out.files = told.f_files;
  out.free_files = told.f_ffree;
  out.place = "device " + std::to_string(root->device());
  return out;
}

}  // namespace hearth
