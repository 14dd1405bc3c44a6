// Files opened in place, and extended attributes read, in the name of a caller.
#include "understore/as_caller.h"
#include "understore/local_files.h"
#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <cerrno>

namespace hearth {
namespace {

constexpr int in_any_case = O_CLOEXEC | O_NOCTTY | O_NOFOLLOW;
// Between the two looks at a name someone may make or remove it; only an enemy does so this often.
constexpr int max_open_attempts = 64;

struct Opened {
  UniqueFd found;  // O_PATH; of a file that was there before
  UniqueFd file;
  bool created = false;
  bool write_only = false;  // all that was granted
};

// Exactly the file that was looked at, whatever its name means by now. EISDIR, ELOOP and ENXIO for what is no file.
int open_found(const OpenForWriting& open, Opened& opened) {
  struct stat status {};
  if (::fstat(opened.found.get(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  if (S_ISLNK(status.st_mode)) return ELOOP;
  if (!S_ISREG(status.st_mode)) return ENXIO;
  const std::string self = path_of_fd(opened.found.get());
  const int flags = O_CLOEXEC | O_NOCTTY | (open.truncate ? O_TRUNC : 0);
  opened.file = UniqueFd(::open(self.c_str(), flags | (open.read_only ? O_RDONLY : O_RDWR)));
  if (opened.file) return 0;
  if (errno != EACCES || open.read_only) return errno;
  opened.file = UniqueFd(::open(self.c_str(), flags | O_WRONLY));
  opened.write_only = true;
  return opened.file ? 0 : errno;
}

int open_entry(const OpenForWriting& open, const Entry& entry, std::uint32_t mode, Opened& opened) {
  const int access = open.read_only ? O_RDONLY : O_RDWR;
  for (int attempt = 0; attempt < max_open_attempts; ++attempt) {
    if (open.create) {
      // A file that this makes may be read and written by this descriptor whatever its mode says.
      opened.file = UniqueFd(::openat(entry.directory.get(), entry.name.c_str(), in_any_case | access | O_CREAT | O_EXCL, mode));
      opened.created = static_cast<bool>(opened.file);
      if (opened.created) return 0;
      if (errno != EEXIST || open.exclusive) return errno;
    }
    opened.found = UniqueFd(::openat(entry.directory.get(), entry.name.c_str(), in_any_case | O_PATH));
    if (opened.found) return open_found(open, opened);
    if (errno != ENOENT || !open.create) return errno;
  }
  return EBUSY;
}

// `get` fills (buffer, size) and answers as getxattr(2); its answer is kept in `into`.
template <class Get>
int read_whole(Get get, std::string& into) {
  constexpr std::size_t usual_bytes = 1024;
  constexpr std::size_t most_bytes = 64U << 10;  // of values and of lists of names, the kernel's own limit
  for (const std::size_t size : {usual_bytes, most_bytes}) {
    into.resize(size);
    const ssize_t length = get(into.data(), into.size());
    if (length >= 0) {
      into.resize(static_cast<std::size_t>(length));
      return 0;
    }
    if (errno != ERANGE) return errno;
  }
  return E2BIG;
}

}  // namespace

Result<StoreFile> LocalFiles::open_for_writing(const OpenForWriting& open, const Caller& caller) {
  TRY(root, present_root());
  const AsCaller as_caller(*root, caller);
  if (open.path.empty()) return root->error_for(open.path, EISDIR);
  CHECK_OK(as_caller.check_entry(open.path));
  Opened opened;
  CHECK_OK(as_caller.run(open.path, [&](const ActingAs& acting) {
    Entry entry;
    const int found = find_entry(*root, open.path, entry);
    return found != 0 ? found : open_entry(open, entry, acting.mode(open.mode & 07777), opened);
  }));
  if (opened.write_only) {
    // A cache reads what it writes around. Where not even the process may read it, writing is what was asked for.
    UniqueFd both(::open(path_of_fd(opened.found.get()).c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (both) opened.file = std::move(both);
  }
  TRY(object, look_at_fd(*root, opened.file.get(), open.path));
  if (object.settled == Settled::no) add_nonce(object.info);
  return StoreFile{.fd = std::move(opened.file), .info = std::move(object.info), .created = opened.created};
}

Result<std::string> LocalFiles::xattr(const std::string& path, const std::string& name, const Caller& caller) {
  TRY(root, present_root());
  const AsCaller as_caller(*root, caller);
  CHECK_OK(as_caller.check_path(path));
  std::string value;
  CHECK_OK(as_caller.run(path, [&](const ActingAs&) {
    if (name.find('\0') != std::string::npos) return EINVAL;
    UniqueFd object;
    if (const int number = find_object(*root, path, object); number != 0) return number;
    const std::string self = path_of_fd(object.get());
    return read_whole([&](char* into, std::size_t size) { return ::getxattr(self.c_str(), name.c_str(), into, size); }, value);
  }));
  return value;
}

Result<std::vector<std::string>> LocalFiles::xattr_names(const std::string& path, const Caller& caller) {
  TRY(root, present_root());
  const AsCaller as_caller(*root, caller);
  CHECK_OK(as_caller.check_path(path));
  std::string list;
  CHECK_OK(as_caller.run(path, [&](const ActingAs&) {
    UniqueFd object;
    if (const int number = find_object(*root, path, object); number != 0) return number;
    const std::string self = path_of_fd(object.get());
    return read_whole([&](char* into, std::size_t size) { return ::listxattr(self.c_str(), into, size); }, list);
  }));
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin < list.size(); begin += names.back().size() + 1) names.emplace_back(list.c_str() + begin);
  return names;
}

}  // namespace hearth
