#include "fuse/mount_point.h"

#include "common/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

namespace hearth {
namespace {

bool is_root() { return ::geteuid() == 0; }
bool allow_other(const MountOptions& options) {
  return options.allow_other == MountOptions::AllowOther::yes ||
         (options.allow_other == MountOptions::AllowOther::automatic && is_root());
}
std::string why(int error_number) { return std::strerror(error_number); }

std::optional<std::string> real_path(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return std::nullopt;
  std::string text(resolved);
  std::free(resolved);
  return text;
}

// "\040" of /proc/self/mountinfo.
std::string unescape_octal(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

struct MountInfo {
  std::string device;  // "0:57"
  std::string type;
  std::string source;
};

// The topmost mount at exactly this path, without asking the file system itself (it might not answer).
std::optional<MountInfo> find_mount(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  std::optional<MountInfo> found;
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string id, parent, device, root, point;
    words >> id >> parent >> device >> root >> point;
    if (unescape_octal(point) != path) continue;
    MountInfo info{.device = device, .type = {}, .source = {}};
    const auto separator = line.find(" - ");
    std::istringstream rest(separator == std::string::npos ? "" : line.substr(separator + 3));
    rest >> info.type >> info.source;
    found = std::move(info);
  }
  return found;
}

struct FusermountEnd {
  int exit_code = 0;
  std::string said;  // one line, for an error; a daemon's own standard error may lead nowhere
};

// Everything until the other end is closed, on one line.
std::string read_line(int pipe) {
  std::string text;
  char buffer[512];
  for (;;) {
    const ssize_t count = ::read(pipe, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    if (text.size() < 4 * sizeof buffer) text.append(buffer, static_cast<std::size_t>(count));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

Result<FusermountEnd> run_fusermount(std::vector<std::string> words, int comm_fd) {
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::string comm = "_FUSE_COMMFD=" + std::to_string(comm_fd);
  std::string path = "PATH=/usr/bin:/bin:/usr/local/bin";
  char* environment[] = {path.data(), comm.data(), nullptr};
  int pair[2];
  if (::pipe2(pair, O_CLOEXEC) != 0) return Error(Code::io_error, "pipe: " + why(errno));
  const UniqueFd spoken(pair[0]);
  UniqueFd speaker(pair[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, speaker.get(), STDERR_FILENO);
  pid_t child = 0;
  const int failed = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environment);
  ::posix_spawn_file_actions_destroy(&actions);
  speaker.reset();
  if (failed != 0) {
    return Error(Code::unsupported, "fusermount3 can not be started (" + why(failed) +
                                        "): mounting without root needs it; install the package fuse3");
  }
  FusermountEnd end;
  end.said = read_line(spoken.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return end;
}

Result<UniqueFd> receive_fd(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t count = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  const cmsghdr* header = count > 0 ? CMSG_FIRSTHDR(&message) : nullptr;
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) {
    return Error(Code::permission_denied, "fusermount3 handed over no descriptor");
  }
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return UniqueFd(fd);
}

Result<UniqueFd> mount_as_user(const std::string& mountpoint, const MountOptions& options) {
  std::string words = "ro,nosuid,nodev,default_permissions,subtype=hearth,fsname=" + options.fsname +
                      ",max_read=" + std::to_string(options.max_read_bytes);
  if (allow_other(options)) words += ",allow_other";
  if (options.execute == MountOptions::Execute::refuse) words += ",noexec";
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return Error(Code::io_error, "socketpair: " + why(errno));
  UniqueFd ours(pair[0]);
  UniqueFd theirs(pair[1]);
  ::fcntl(ours.get(), F_SETFD, FD_CLOEXEC);
  TRY(end, run_fusermount({"fusermount3", "-o", words, "--", mountpoint}, theirs.get()));
  theirs.reset();
  if (end.exit_code != 0) {
    return Error(Code::permission_denied,
                 "mounting " + mountpoint + " was refused (" + end.said + "): " +
                     (allow_other(options) ? "allow_other needs user_allow_other in /etc/fuse.conf, or root"
                                           : "the directory must belong to you, and /dev/fuse must be open to you"));
  }
  return receive_fd(ours.get());
}

Result<UniqueFd> mount_as_root(const std::string& mountpoint, const MountOptions& options, UniqueFd device) {
  const std::string data = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0" +
                           ",default_permissions,max_read=" + std::to_string(options.max_read_bytes) +
                           (allow_other(options) ? ",allow_other" : "");
  unsigned long flags = MS_NOSUID | MS_NODEV;
  if (options.writing == MountOptions::Writing::refuse) flags |= MS_RDONLY;
  if (options.execute == MountOptions::Execute::refuse) flags |= MS_NOEXEC;
  if (::mount(options.fsname.c_str(), mountpoint.c_str(), "fuse.hearth", flags, data.c_str()) == 0) return device;
  const int error_number = errno;
  if (error_number == EPERM) {
    return Error(Code::permission_denied, "mounting on " + mountpoint +
                                              " is not permitted: it needs CAP_SYS_ADMIN (in a container: --cap-add "
                                              "SYS_ADMIN --device /dev/fuse)");
  }
  return Error(code_from_errno(error_number), "mounting on " + mountpoint + " failed: " + why(error_number));
}

Status check_empty(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) {
    return Error(Code::permission_denied, "the mount point " + path + " can not be read: " + why(errno));
  }
  bool empty = true;
  while (const dirent* entry = ::readdir(directory)) {
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) empty = false;
  }
  ::closedir(directory);
  if (empty) return ok();
  return Error(Code::not_empty, "the mount point " + path +
                                    " is not empty and the mount would hide its files: choose an empty directory, or "
                                    "give the option nonempty");
}

bool contains(const std::string& outer, const std::string& inner) {
  return outer == "/" || inner == outer || (inner.size() > outer.size() && inner.starts_with(outer + "/"));
}

// The path of a file:// URI, with %41 decoded.
std::optional<std::string> local_directory(const std::string& uri) {
  constexpr std::string_view scheme = "file://";
  if (!uri.starts_with(scheme)) return std::nullopt;
  std::string path;
  for (std::size_t i = scheme.size(); i < uri.size(); ++i) {
    const bool escaped = uri[i] == '%' && i + 2 < uri.size() && std::isxdigit(static_cast<unsigned char>(uri[i + 1])) &&
                         std::isxdigit(static_cast<unsigned char>(uri[i + 2]));
    path += escaped ? static_cast<char>(std::stoi(uri.substr(i + 1, 2), nullptr, 16)) : uri[i];
    if (escaped) i += 2;
  }
  return real_path(path);
}

}  // namespace

namespace {

// stat() of a mount whose daemon died is answered from the kernel's attributes for a while; statfs() never is.
int look_at(const std::string& path, struct stat& info) {
  if (::stat(path.c_str(), &info) != 0) return errno;
  struct statvfs file_system {};
  return ::statvfs(path.c_str(), &file_system) == 0 ? 0 : errno;
}

}  // namespace

Result<std::string> prepare_mount_point(const MountOptions& options) {
  const std::string& given = options.mountpoint;
  struct stat info {};
  int failed = look_at(given, info);
  if (failed == ENOTCONN || failed == ECONNABORTED) {
    const auto cleaned = unmount_fuse(given, UnmountMode::detach);
    if (!cleaned) {
      return Error(Code::busy, given + " is a mount whose daemon died and it can not be removed (" +
                                   cleaned.error().message() + "): run umount -l " + given + " as root");
    }
    log_warn("fuse_stale_mount_removed",
             {{"mountpoint", given}, {"reason", "its daemon had died (transport endpoint is not connected)"}});
    failed = look_at(given, info);
  }
  if (failed == ENOENT) {
    return Error(Code::not_found, "the mount point " + given + " does not exist: create it with mkdir -p " + given);
  }
  if (failed != 0) return Error(code_from_errno(failed), "the mount point " + given + ": " + why(failed));
  if (!S_ISDIR(info.st_mode)) {
    return Error(Code::not_directory, "the mount point " + given + " is not a directory: choose an empty directory");
  }
  const auto path = real_path(given);
  if (!path) return Error(code_from_errno(errno), "the mount point " + given + ": " + why(errno));
  const auto mounted = find_mount(*path);
  if (mounted && mounted->type == "fuse.hearth") {
    return Error(Code::busy, *path + " is a Hearth mount already (" + mounted->source + "): run umount " + *path +
                                 " first, or choose another directory");
  }
  if (options.occupied == MountOptions::Occupied::refuse) CHECK_OK(check_empty(*path));
  return *path;
}

Status check_not_over_a_store(const std::string& mountpoint, const std::vector<std::string>& store_uris) {
  for (const auto& uri : store_uris) {
    const auto directory = local_directory(uri);
    if (!directory) continue;
    if (!contains(*directory, mountpoint) && !contains(mountpoint, *directory)) continue;
    return Error(Code::invalid_argument,
                 "mounting on " + mountpoint + " would make the attached directory " + *directory +
                     " and the mount contain each other, so that reads wait for themselves: choose a mount point "
                     "outside of it");
  }
  return ok();
}

Result<UniqueFd> mount_fuse(const std::string& mountpoint, const MountOptions& options) {
  UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  const int failed = device ? 0 : errno;
  if (failed == ENOENT || failed == ENODEV || failed == ENXIO) {
    return Error(Code::unsupported,
                 "/dev/fuse is missing: load it with modprobe fuse as root, or start the container with --device /dev/fuse");
  }
  if (is_root()) {
    if (failed != 0) {
      return Error(Code::permission_denied, "/dev/fuse can not be opened (" + why(failed) +
                                                "): in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN");
    }
    return mount_as_root(mountpoint, options, std::move(device));
  }
  return mount_as_user(mountpoint, options);
}

std::string mounted_device(const std::string& mountpoint) {
  const auto mounted = find_mount(mountpoint);
  return mounted ? mounted->device : "";
}

Status unmount_fuse(const std::string& mountpoint, UnmountMode mode) {
  if (!is_root()) {
    std::vector<std::string> words{"fusermount3", "-u", "-q"};
    if (mode == UnmountMode::detach) words.emplace_back("-z");
    words.emplace_back("--");
    words.push_back(mountpoint);
    TRY(end, run_fusermount(std::move(words), -1));
    if (end.exit_code == 0) return ok();
    if (!find_mount(mountpoint)) return Error(Code::not_found, mountpoint + " is not mounted");
    return Error(Code::busy, mountpoint + " can not be unmounted by fusermount3: somebody uses it");
  }
  const int flags = UMOUNT_NOFOLLOW | (mode == UnmountMode::detach ? MNT_DETACH : 0);
  if (::umount2(mountpoint.c_str(), flags) == 0) return ok();
  if (errno == EBUSY) {
    return Error(Code::busy, mountpoint + " is in use: find the users with fuser -vm " + mountpoint);
  }
  if (errno == EINVAL || errno == ENOENT) return Error(Code::not_found, mountpoint + " is not mounted");
  return Error(code_from_errno(errno), "unmounting " + mountpoint + ": " + why(errno));
}

void raise_readahead(const std::string& mountpoint, std::uint32_t readahead_bytes) {
  const auto mounted = find_mount(mountpoint);
  if (!mounted) return;
  const std::string control = "/sys/class/bdi/" + mounted->device + "/read_ahead_kb";
  std::ofstream file(control);
  file << readahead_bytes / 1024 << std::flush;
  if (file) return;
  log_info("fuse_readahead_default",
           {{"mountpoint", mountpoint}, {"reason", control + " can not be written; the kernel reads 128 KiB ahead"}});
}

}  // namespace hearth
