#include "understore/acting_as.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <utility>

namespace hearth {
namespace {

// glibc's wrappers of the set* calls switch every thread of the process; these switch the one that calls.
bool set_groups(const std::vector<std::uint32_t>& groups) {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0;
}

// setfsuid(2) never says that it failed: no user has the id -1, so that asking for it tells the present one.
constexpr std::uint32_t nobody_at_all = ~0U;
std::uint32_t fs_uid() { return static_cast<std::uint32_t>(::syscall(SYS_setfsuid, nobody_at_all)); }
std::uint32_t fs_gid() { return static_cast<std::uint32_t>(::syscall(SYS_setfsgid, nobody_at_all)); }
bool set_fs_uid(std::uint32_t uid) {
  ::syscall(SYS_setfsuid, uid);
  return fs_uid() == uid && uid != nobody_at_all;
}
bool set_fs_gid(std::uint32_t gid) {
  ::syscall(SYS_setfsgid, gid);
  return fs_gid() == gid && gid != nobody_at_all;
}

__user_cap_header_struct this_thread() { return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0}; }

bool is_root_itself(const Caller& caller) {
  const bool no_groups = caller.groups.empty() || (caller.groups.size() == 1 && caller.groups.front() == 0);
  return caller.uid == 0 && caller.gid == 0 && no_groups;
}

bool has_own_umask() {
  thread_local const bool own = ::unshare(CLONE_FS) == 0;
  return own;
}

Error refused(const Caller& caller, std::string_view why) {
  return Error(Code::permission_denied, "this process can not act as user " + std::to_string(caller.uid) + ": " +
                                            std::string(why) + "; run it as root, or as that user")
      .with_error_number(EPERM);
}

[[noreturn]] void end_the_process() {
  constexpr std::string_view words = "hearth: a thread could not be switched back to the user of this process; ending it\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, words.data(), words.size());
  std::abort();
}

}  // namespace

Result<ActingAs> ActingAs::become(const Caller& caller) {
  ActingAs acting;
  if (::geteuid() != 0) {
    if (caller.uid != ::geteuid()) return refused(caller, "it is not root");
  } else if (!is_root_itself(caller)) {
    Identity before;
    if (!read_identity(before)) return refused(caller, "it can not tell who it is itself (seccomp?)");
    acting.before_ = std::move(before);
    if (!acting.switch_to(caller)) return refused(caller, "the kernel refused to switch (capabilities or a user namespace)");
  }
  if (has_own_umask()) {
    acting.umask_before_ = ::umask(caller.umask & 0777);
  } else {
    acting.missing_umask_ = caller.umask & 0777;
  }
  return acting;
}

bool ActingAs::read_identity(Identity& identity) {
  identity.uid = fs_uid();
  identity.gid = fs_gid();
  if (identity.uid == nobody_at_all || identity.gid == nobody_at_all) return false;  // seccomp forbids asking
  auto header = this_thread();
  if (::syscall(SYS_capget, &header, identity.capabilities.data()) != 0) return false;
  const long count = ::syscall(SYS_getgroups, 0, nullptr);
  if (count < 0) return false;
  identity.groups.resize(static_cast<std::size_t>(count));
  return ::syscall(SYS_getgroups, count, identity.groups.data()) == count;
}

bool ActingAs::switch_to(const Caller& caller) {
  if (caller.groups != before_->groups) {
    if (!set_groups(caller.groups)) return false;
    groups_differ_ = true;
  }
  if (!set_fs_gid(caller.gid) || !set_fs_uid(caller.uid)) return false;
  if (caller.uid == 0) return true;
  // setfsuid dropped those that are about files. The others grant things too: CAP_SETFCAP security.capability,
  // CAP_SYS_ADMIN trusted.*, CAP_SYS_RESOURCE more than the quota.
  Capabilities none = before_->capabilities;
  for (auto& half : none) half.effective = 0;
  auto header = this_thread();
  dropped_capabilities_ = ::syscall(SYS_capset, &header, none.data()) == 0;
  return dropped_capabilities_;
}

// The user first: root's own id needs no capability, and the groups need one.
bool ActingAs::switch_back() const {
  if (!set_fs_uid(before_->uid) || !set_fs_gid(before_->gid)) return false;
  auto header = this_thread();
  if (dropped_capabilities_ && ::syscall(SYS_capset, &header, before_->capabilities.data()) != 0) return false;
  return !groups_differ_ || set_groups(before_->groups);
}

ActingAs::ActingAs(ActingAs&& other) noexcept
    : before_(std::exchange(other.before_, std::nullopt)), groups_differ_(other.groups_differ_),
      dropped_capabilities_(other.dropped_capabilities_),
      umask_before_(std::exchange(other.umask_before_, std::nullopt)), missing_umask_(other.missing_umask_) {}

ActingAs::~ActingAs() {
  if (umask_before_) ::umask(*umask_before_);
  if (before_ && !switch_back()) end_the_process();
}

}  // namespace hearth
