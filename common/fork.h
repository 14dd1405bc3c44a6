// Forks of this process, noticed without a system call. A forked child has one thread: what others held is locked there
// for ever, and what the parent's connections say is not for it.
//
// Threads: any.
// Notices: fork(), and what goes past its handlers (_Fork, clone) where the kernel empties pages for the child (4.14).
#pragma once

#include <atomic>
#include <cstdint>

namespace hearth {

namespace detail {
extern std::atomic<std::uint64_t>* process_word;  // 0 in a child that did not ask yet
}

// Not 0; another one in each forked child.
std::uint64_t process_generation();

// Whether this is a forked child of the process that made this object.
class ForkGuard {
 public:
  ForkGuard() : made_in_(process_generation()) {}
  bool is_child() const { return detail::process_word->load(std::memory_order_relaxed) != made_in_; }

 private:
  std::uint64_t made_in_;
};

// A child closes its copy: a connection ends with the process that made it, and memory is not kept for longer.
// Until kept_in_child(), which comes before the descriptor is closed. Numbers above 65,535 are left alone.
void closed_in_child(int fd);
void kept_in_child(int fd);

}  // namespace hearth
