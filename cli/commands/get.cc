// get: copies a file or a tree to this host. Every file is written beside its destination and renamed.
#include "cli/commands/commands.h"
#include "cli/commands/tree_jobs.h"
#include "common/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

namespace hearth::cli {
namespace {

constexpr std::size_t piece_bytes = 4U << 20;

enum class Preserve : std::uint8_t { yes, no };

Error local_error(const std::string& path, std::string_view doing) {
  const int number = errno;
  return Error(code_from_errno(number), path + " cannot be " + std::string(doing) + ": " + std::strerror(number));
}

// A name that nothing else uses, in the directory of `destination` and not made from its name, which may be
// 255 bytes long already.
std::string name_beside(const std::string& destination) {
  static std::atomic<unsigned> counter{0};
  return destination.substr(0, destination.find_last_of('/') + 1) + ".hearth-get-" + std::to_string(::getpid()) + "-" +
         std::to_string(counter++);
}

// A file under construction. Without a name while it is written, so that an interrupted get leaves nothing;
// where the file system cannot do that, with a name that is removed unless the file was put in place.
class PartialFile {
 public:
  ~PartialFile() {
    if (!name_.empty()) ::unlink(name_.c_str());
  }
  static Result<PartialFile> create(const std::string& destination) {
    const auto slash = destination.find_last_of('/');
    const std::string directory = slash == std::string::npos ? "." : destination.substr(0, slash + 1);
    PartialFile file;
    file.fd_ = UniqueFd(::open(directory.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (file.fd_) return file;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT) return local_error(destination, "created");
    const std::string name = name_beside(destination);
    file.fd_ = UniqueFd(::open(name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
    if (!file.fd_) return local_error(destination, "created");
    file.name_ = name;
    return file;
  }
  PartialFile(PartialFile&& other) noexcept : fd_(std::move(other.fd_)), name_(std::exchange(other.name_, {})) {}

  int fd() const { return fd_.get(); }
  Status place(const std::string& destination) {
    if (name_.empty()) {
      const std::string name = name_beside(destination);
      const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
      if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0) {
        return local_error(destination, "put in place");
      }
      name_ = name;
    }
    if (::rename(name_.c_str(), destination.c_str()) != 0) return local_error(destination, "put in place");
    name_.clear();
    return ok();
  }

 private:
  PartialFile() = default;
  UniqueFd fd_;
  std::string name_;
};

timespec to_timespec(std::int64_t time_ns) {
  std::int64_t seconds = time_ns / 1'000'000'000;
  std::int64_t rest = time_ns % 1'000'000'000;
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  return {static_cast<time_t>(seconds), static_cast<long>(rest)};
}

Status write_piece(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return local_error(path, "written");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok();
}

struct Manner {
  Preserve preserve = Preserve::yes;
  mode_t umask = 0;
};

Status copy_file(const Client& client, const TreeEntry& entry, const std::string& destination, Manner manner, Progress& progress) {
  TRY(file, client.open(entry.path));
  TRY(partial, PartialFile::create(destination));
  std::vector<std::byte> piece(std::min<std::uint64_t>(piece_bytes, file.status().length_bytes + 1));
  for (std::uint64_t offset = 0; offset < file.status().length_bytes;) {
    TRY(count, file.pread(piece, offset));
    if (count == 0) return Error(Code::stale, entry.path + " became shorter while it was read; get it again");
    CHECK_OK(write_piece(partial.fd(), destination, {reinterpret_cast<const char*>(piece.data()), count}));
    offset += count;
    progress.add_bytes(count);
  }
  mode_t mode = 0666;
  if (manner.preserve == Preserve::yes) {
    mode = file.status().mode & 07777U;
    const timespec times[2] = {{0, UTIME_NOW}, to_timespec(file.status().mtime_ns)};
    if (::futimens(partial.fd(), times) != 0) return local_error(destination, "given its time");
  } else {
    mode &= ~manner.umask;
  }
  if (::fchmod(partial.fd(), mode) != 0) return local_error(destination, "given its mode");
  return partial.place(destination);
}

Status copy_link(const TreeEntry& entry, const std::string& destination) {
  const std::string beside = name_beside(destination);
  if (::symlink(entry.status.symlink_target.c_str(), beside.c_str()) != 0) return local_error(destination, "created as a link");
  if (::rename(beside.c_str(), destination.c_str()) == 0) return ok();
  auto failed = local_error(destination, "put in place");
  ::unlink(beside.c_str());
  return failed;
}

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

// Directories get their mode and time last: writing into them needs the one and changes the other.
void finish_directories(const std::vector<std::pair<std::string, FileStatus>>& directories, Output& out) {
  for (auto it = directories.rbegin(); it != directories.rend(); ++it) {
    const timespec times[2] = {{0, UTIME_NOW}, to_timespec(it->second.mtime_ns)};
    const bool given = ::chmod(it->first.c_str(), it->second.mode & 07777U) == 0 &&
                       ::utimensat(AT_FDCWD, it->first.c_str(), times, 0) == 0;
    if (!given) out.complaint(local_error(it->first, "given its mode and time"));
  }
}

}  // namespace

Result<Exit> run_get(Context& context) {
  TRY(client, context.connect());
  Output& out = context.out();
  const std::string source = tidy_path(context.arguments()[0]);
  std::string target = context.arguments()[1];
  TRY(root, client.stat(source));
  if (is_directory(target) && source != "/") target = join_path(target, base_name(source));
  const Preserve preserve = context.words().has("no-preserve") ? Preserve::no : Preserve::yes;
  const auto local = [&](const TreeEntry& entry) { return entry.below.empty() ? target : join_path(target, entry.below); };

  const Manner manner{.preserve = preserve, .umask = caller_of_this_process().umask};
  std::vector<std::pair<std::string, FileStatus>> directories;
  Progress progress("copying", progress_style(context));
  TreeJob job{.roots = {source}, .jobs = context.words().count("jobs").value_or(8), .want_symlinks = true};
  job.on_directory = [&](const TreeEntry& entry) -> Status {
    const std::string path = local(entry);
    if (::mkdir(path.c_str(), 0700) != 0 && (errno != EEXIST || !is_directory(path))) return local_error(path, "created");
    directories.emplace_back(path, entry.status);
    return ok();
  };
  job.on_file = [&](const TreeEntry& entry) {
    if (entry.status.type == EntryType::symlink) return copy_link(entry, local(entry));
    return copy_file(client, entry, local(entry), manner, progress);
  };
  const TreeResult result = run_tree_job(client, job, progress);
  if (preserve == Preserve::yes) finish_directories(directories, out);
  progress.stop();
  return report_copy(context, result, progress.figures(), {source, target, root.type});
}

}  // namespace hearth::cli
