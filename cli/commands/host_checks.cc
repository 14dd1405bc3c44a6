#include "cli/commands/host_checks.h"

#include "cli/daemon/process.h"
#include "common/fd.h"
#include "common/units.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>

namespace hearth::cli {
namespace {

constexpr std::uint64_t wanted_open_files = 65536;
constexpr std::uint64_t wanted_mappings = 262'144;
constexpr std::uint64_t enough_blocks = wanted_open_files / 2;
constexpr int statfs_patience_ms = 2000;

std::string read_whole(const char* path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "\040" of mountinfo back to " ".
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned octal = 0;
    const bool is_escape = text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, octal, 8).ptr == text.data() + i + 4;
    if (is_escape) i += 3;
    out += is_escape ? static_cast<char>(octal) : text[i];
  }
  return out;
}

bool has_capability(unsigned capability) {
  std::istringstream status(read_whole("/proc/self/status"));
  std::string line;
  while (std::getline(status, line)) {
    if (!line.starts_with("CapEff:")) continue;
    std::uint64_t mask = 0;
    const auto digits = line.find_first_not_of(" \t", 7);
    std::from_chars(line.data() + digits, line.data() + line.size(), mask, 16);
    return (mask >> capability & 1U) != 0;
  }
  return false;
}

bool in_path(std::string_view program) {
  std::istringstream path(std::getenv("PATH") == nullptr ? "/usr/bin:/bin" : std::getenv("PATH"));
  std::string directory;
  while (std::getline(path, directory, ':')) {
    if (::access((directory + "/" + std::string(program)).c_str(), X_OK) == 0) return true;
  }
  return false;
}

Check check_passthrough() {
  utsname system{};
  ::uname(&system);
  const KernelVersion kernel = parse_kernel_version(system.release);
  const bool new_enough = kernel.major > 6 || (kernel.major == 6 && kernel.minor >= 9);
  const std::string found = "kernel " + std::string(system.release);
  if (!new_enough) {
    return {"passthrough", Verdict::warning, found + " has no FUSE passthrough (6.9 and later have)",
            "the mount works without; a newer kernel (Debian backports) makes warm reads through it several times faster"};
  }
  if (!has_capability(CAP_SYS_ADMIN)) {
    return {"passthrough", Verdict::warning, found + " has FUSE passthrough, but it needs CAP_SYS_ADMIN",
            "run the mount as root or as the service hearth-mount@.service"};
  }
  return {"passthrough", Verdict::good, found + " serves fully cached files by itself", ""};
}

Check check_huge_pages() {
  const std::string setting = chosen_word(read_whole("/sys/kernel/mm/transparent_hugepage/shmem_enabled"));
  if (setting.empty()) return {"huge pages", Verdict::warning, "the kernel does not say (shmem_enabled is absent)", "none needed; reads of the memory tier are slower"};
  if (setting == "advise" || setting == "always" || setting == "within_size" || setting == "force") {
    return {"huge pages", Verdict::good, "shmem_enabled is " + setting, ""};
  }
  return {"huge pages", Verdict::warning, "shmem_enabled is " + setting + ": the memory tier uses 4 KiB pages and fills at a third of the speed",
          "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"};
}

// Of a worker that this user would start here.
BlockLimits own_block_limits() {
  BlockLimits limits = read_block_limits(OpenFilesLimit::hard);
  if (::geteuid() == 0) limits.open_files = std::max<std::uint64_t>(limits.open_files, max_open_files);  // root raises its own
  return limits;
}

Check check_clock() {
  timex state{};
  const int result = ::adjtimex(&state);
  if (result < 0) return {"clock", Verdict::warning, std::string("its state is unknown: ") + std::strerror(errno), ""};
  if (result == TIME_ERROR || (state.status & STA_UNSYNC) != 0) {
    return {"clock", Verdict::warning, "not synchronised", "run chrony or systemd-timesyncd; Hearth itself does not depend on it, logs of several hosts do"};
  }
  return {"clock", Verdict::good, "synchronised", ""};
}

// The errno of statfs, or nothing when it does not answer: a hung mount would block for ever, so a child asks
// (it makes system calls only, which is all that a child of a process with threads may do).
std::optional<int> statfs_errno(const std::string& mountpoint) {
  const pid_t child = ::fork();
  if (child < 0) return errno;
  if (child == 0) {
    struct statfs status {};
    ::_exit(::statfs(mountpoint.c_str(), &status) == 0 ? 0 : errno & 0xFF);
  }
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd watched{process.get(), POLLIN, 0};
  const bool answered = process && ::poll(&watched, 1, statfs_patience_ms) == 1;
  if (!answered) ::kill(child, SIGKILL);
  int ended = 0;
  // A child that not even SIGKILL frees from the kernel is left to init.
  if (::waitpid(child, &ended, answered ? 0 : WNOHANG) != child || !WIFEXITED(ended)) return std::nullopt;
  return WEXITSTATUS(ended);
}

Check check_mount(const std::string& mountpoint) {
  const std::string what = "mount " + mountpoint;
  const auto answer = statfs_errno(mountpoint);
  if (!answer) {
    return {what, Verdict::problem, "does not answer", "see the log of hearth-fuse; take it away with: hearth umount --lazy " + mountpoint};
  }
  const int error_number = *answer;
  if (error_number == 0) return {what, Verdict::good, "answers", ""};
  const bool stale = error_number == ENOTCONN;
  return {what, Verdict::problem, stale ? "stale: its daemon is gone" : std::strerror(error_number), "hearth umount --lazy " + mountpoint};
}

}  // namespace

std::vector<HearthMount> hearth_mounts(std::string_view mountinfo) {
  std::vector<HearthMount> found;
  std::istringstream lines{std::string(mountinfo)};
  std::string line;
  while (std::getline(lines, line)) {
    // proc(5): ID parent dev root MOUNTPOINT options [tags...] - TYPE SOURCE super-options
    const auto separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream left(line.substr(0, separator));
    std::istringstream right(line.substr(separator + 3));
    std::string skipped, mountpoint, type, source;
    left >> skipped >> skipped >> skipped >> skipped >> mountpoint;
    right >> type >> source;
    if (type == "fuse.hearth") found.push_back({unescaped(mountpoint), unescaped(source)});
  }
  return found;
}

std::vector<HearthMount> hearth_mounts_here() { return hearth_mounts(read_whole("/proc/self/mountinfo")); }

KernelVersion parse_kernel_version(std::string_view release) {
  KernelVersion version;
  const char* end = release.data() + release.size();
  const auto major = std::from_chars(release.data(), end, version.major);
  if (major.ptr < end && *major.ptr == '.') std::from_chars(major.ptr + 1, end, version.minor);
  return version;
}

std::string chosen_word(std::string_view setting) {
  const auto open = setting.find('[');
  const auto close = setting.find(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return "";
  return std::string(setting.substr(open + 1, close - open - 1));
}

std::uint64_t available_memory_bytes() {
  std::istringstream lines(read_whole("/proc/meminfo"));
  std::string line;
  while (std::getline(lines, line)) {
    if (!line.starts_with("MemAvailable:")) continue;
    return std::strtoull(line.c_str() + 13, nullptr, 10) << 10;
  }
  return 0;
}

Check check_fuse() {
  const int fd = ::open("/dev/fuse", O_RDWR | O_CLOEXEC);
  const int error_number = errno;
  if (fd >= 0) ::close(fd);
  if (fd < 0 && error_number == ENOENT) {
    return {"/dev/fuse", Verdict::problem, "absent: no mount is possible", "modprobe fuse; in a container start it with --device /dev/fuse --cap-add SYS_ADMIN"};
  }
  if (fd < 0) {
    // fusermount3 opens it with the rights of its user, so that a user without them cannot mount either.
    return {"/dev/fuse", Verdict::problem, std::string("cannot be opened: ") + std::strerror(error_number),
            ::geteuid() == 0 ? "in a container start it with --device /dev/fuse --cap-add SYS_ADMIN"
                             : "run as root, or give this user access to it (chmod 666 /dev/fuse, as udev does)"};
  }
  if (::geteuid() != 0 && !in_path("fusermount3")) {
    return {"fusermount3", Verdict::problem, "not in PATH; a user who is not root cannot mount without it", "apt-get install fuse3"};
  }
  return {"/dev/fuse", Verdict::good, "usable", ""};
}

Check check_block_limits(const BlockLimits& limits) {
  const std::string files = limits.open_files == UINT64_MAX ? "no limit of" : std::to_string(limits.open_files);
  const std::string finding = "a worker can share " + std::to_string(limits.shareable_blocks()) + " blocks with clients at once (" + files +
                              " open files, half of them; vm.max_map_count " + std::to_string(limits.mappings) + ", three quarters)";
  const bool few_files = limits.by_open_files() < limits.by_mappings();
  const std::string remedy =
      few_files ? "for more, raise the limit of open files to " + std::to_string(std::max(wanted_open_files, limits.by_mappings() * 2)) +
                      " (LimitNOFILE= of the unit, or /etc/security/limits.conf)"
                : "for more: sysctl -w vm.max_map_count=" + std::to_string(std::max(wanted_mappings, limits.mappings * 4)) +
                      " (and a line in /etc/sysctl.d)";
  const bool enough = limits.shareable_blocks() >= enough_blocks;
  return {"shareable blocks", enough ? Verdict::good : Verdict::warning, finding, remedy};
}

void check_host(const std::string& mountpoint, std::vector<Check>& checks) {
  checks.push_back(check_fuse());
  if (!in_path("fusermount3")) {
    checks.push_back({"fusermount3", Verdict::warning, "not in PATH; users who are not root cannot mount", "apt-get install fuse3"});
  } else {
    checks.push_back({"fusermount3", Verdict::good, "installed", ""});
  }
  checks.push_back(check_passthrough());
  checks.push_back(check_huge_pages());
  checks.push_back(check_block_limits(own_block_limits()));
  checks.push_back(check_clock());
  bool seen = mountpoint.empty();
  for (const HearthMount& mount : hearth_mounts_here()) {
    checks.push_back(check_mount(mount.mountpoint));
    seen = seen || mount.mountpoint == mountpoint;
  }
  if (!seen) {
    checks.push_back({"mount " + mountpoint, Verdict::problem, "not a mount of Hearth", "hearth mount " + mountpoint});
  }
}

}  // namespace hearth::cli
