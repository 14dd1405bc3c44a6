#include "understore/local_files.h"

#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace hearth {
namespace {

// The deadline is looked at between reads of this size.
constexpr std::size_t read_step_bytes = 4U << 20;

}  // namespace

Status LocalFiles::check_deadline(const std::string& path, Deadline deadline) const {
  if (!deadline.expired(clock_.now())) return ok();
  return Error(Code::deadline_exceeded, printable_path(path) + " in " + printable_path(root_.directory()) +
                                            " was not answered in time; is the file system slow or hung?");
}

Result<LocalObject> LocalFiles::look(const std::string& path) const {
  TRY(fd, root_.open_beneath(path, O_PATH));
  return look_at_fd(root_, fd.get(), path);
}

Result<DescriptorCache::Descriptor> LocalFiles::open_for_reading(const std::string& path, const std::string& version) {
  // First without opening: the open of a device or FIFO can have effects or wait.
  TRY(found, root_.open_beneath(path, O_PATH));
  struct stat status {};
  if (::fstat(found.get(), &status) != 0) return root_.error_for(path, errno);
  if (S_ISDIR(status.st_mode)) return Error(Code::is_directory, printable_path(path) + " is a directory; list it");
  if (S_ISLNK(status.st_mode)) return root_.error_for(path, ELOOP);
  if (!S_ISREG(status.st_mode)) {
    return Error(Code::unsupported, printable_path(path) + " is a FIFO, socket or device; only regular files can be "
                                                           "read through the cache");
  }
  // Exactly the file that was looked at, whatever the path means by now.
  const std::string self = "/proc/self/fd/" + std::to_string(found.get());
  UniqueFd fd(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd) return root_.error_for(path, errno);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);  // page reads are large: let the kernel read ahead
  auto descriptor = std::make_shared<const UniqueFd>(std::move(fd));
  CHECK_OK(check_version(root_, descriptor->get(), path, version));
  open_.insert(path, version, descriptor, clock_.now());
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
  Status status = read_from(descriptor->get(), path, version, offset, into, deadline);
  if (!status) open_.erase(path, version);
  return status;
}

Status LocalFiles::read_from(int fd, const std::string& path, const std::string& version, std::uint64_t offset,
                             std::span<std::byte> into, Deadline deadline) const {
  CHECK_OK(check_version(root_, fd, path, version));
  std::size_t done = 0;
  while (done < into.size()) {
    const std::size_t wanted = std::min(into.size() - done, read_step_bytes);
    const ssize_t count = ::pread(fd, into.data() + done, wanted, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return root_.error_for(path, errno);
    if (count == 0) {
      return Error(Code::stale, printable_path(path) + " ends at " + std::to_string(offset + done) +
                                    ", before its version says; open it again");
    }
    done += static_cast<std::size_t>(count);
    if (done < into.size()) CHECK_OK(check_deadline(path, deadline));
  }
  return check_version(root_, fd, path, version);
}

Result<DirectoryStream> LocalFiles::open_directory(const std::string& path) const {
  CHECK_OK(root_.check_present());
  TRY(fd, root_.open_beneath(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK));
  DirectoryStream stream(::fdopendir(fd.get()));
  if (stream == nullptr) return root_.error_for(path, errno);
  fd.release();
  return stream;
}

Result<ListedBatch> LocalFiles::list(DIR* stream, const std::string& path, std::size_t limit) const {
  ListedBatch batch;
  while (batch.entries.size() < limit) {
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      if (errno != 0 && errno != ENOENT) return root_.error_for(path, errno);
      // A directory that was removed, or whose mount went away, ends like an empty one.
      CHECK_OK(root_.check_present());
      break;
    }
    const std::string name = entry->d_name;
    if (name == "." || name == ".." || name.starts_with(unfinished_prefix)) continue;
    auto object = look_at_entry(root_, ::dirfd(stream), name, path);
    if (!object && object.code() == Code::not_found) continue;
    if (!object) return std::move(object).error();
    batch.entries.push_back(std::move(*object));
  }
  return batch;
}

Result<ListedBatch> LocalFiles::look_again(DIR* stream, const std::string& path, ListedBatch batch) const {
  ListedBatch again;
  for (LocalObject& entry : batch.entries) {
    if (entry.settled == Settled::yes) {
      again.entries.push_back(std::move(entry));
      continue;
    }
    auto object = look_at_entry(root_, ::dirfd(stream), entry.info.name, path);
    if (!object && object.code() == Code::not_found) continue;
    if (!object) return std::move(object).error();
    if (object->settled == Settled::no) add_nonce(object->info);
    again.entries.push_back(std::move(*object));
  }
  return again;
}

}  // namespace hearth
