// The thread acts as another user towards the file system while one of these lives: what the kernel grants it is what it
// would grant that user, and what it makes belongs to that user. Other threads of the process are not touched.
//
// The kernel turns off core dumps of the whole process at the first switch (PR_SET_DUMPABLE).
//
// Threads: must end on the thread that it began on; does not nest. The first one on a thread gives that thread a working
//          directory and umask of its own (unshare CLONE_FS), so that the caller's umask is applied by the kernel, which
//          knows of default ACLs.
// Fails:   permission_denied (EPERM) when this process may not act as that user; then nothing is switched. A thread that
//          can not be switched back ends the process.
#pragma once

#include <hearth/changes.h>

#include <hearth/result.h>

#include <linux/capability.h>

#include <array>
#include <optional>

namespace hearth {

class ActingAs {
 public:
  static Result<ActingAs> become(const Caller& caller);
  ActingAs(ActingAs&& other) noexcept;
  ActingAs& operator=(ActingAs&&) = delete;
  ~ActingAs();

  // The permission bits to make something with, where the kernel could not be told the umask.
  std::uint32_t mode(std::uint32_t wanted) const { return wanted & ~missing_umask_; }

 private:
  using Capabilities = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;
  // The thread as it was.
  struct Identity {
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::vector<std::uint32_t> groups;
    Capabilities capabilities{};
  };
  ActingAs() = default;
  static bool read_identity(Identity& identity);
  bool switch_to(const Caller& caller);
  bool switch_back() const;

  std::optional<Identity> before_;  // nothing: was not switched
  bool groups_differ_ = false;
  bool dropped_capabilities_ = false;
  std::optional<std::uint32_t> umask_before_;
  std::uint32_t missing_umask_ = 0;
};

}  // namespace hearth
