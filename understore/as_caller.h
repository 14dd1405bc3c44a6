// One request of a caller to the local store: what is done as that user, and what is said when it was refused.
//
// Threads: one; every method blocks.
// Fails:   as under_store.h says of changes: the error carries the errno of the system call.
#pragma once

#include "understore/acting_as.h"
#include "understore/confined_root.h"

#include <string>
#include <string_view>

namespace hearth {

// Work done as the caller answers 0, an errno, or this: the path leaves the attached directory.
inline constexpr int leads_outside = -1;

// What a path names: a name in a directory.
struct Entry {
  UniqueFd directory;  // O_PATH: searched, not read
  std::string name;
  bool behind_symlink = false;  // the directory's path ends in a symlink
};

// Both as the caller: 0, an errno, or leads_outside. `path` was checked; it is not "" for an entry.
int find_entry(const ConfinedRoot& root, const std::string& path, Entry& entry);
int find_object(const ConfinedRoot& root, const std::string& path, UniqueFd& object);  // O_PATH, not followed

// Leads to exactly what the descriptor is of, a symlink included, for calls that take no O_PATH descriptor.
std::string path_of_fd(int fd);

class AsCaller {
 public:
  // Both outlive this.
  AsCaller(const ConfinedRoot& root, const Caller& caller) : root_(root), caller_(caller) {}

  // Runs `work` (const ActingAs& -> 0, errno or leads_outside) as the caller; `path` and `other`, if any, are what its
  // error is about.
  template <class Work>
  Status run(std::string_view path, std::string_view other, Work work) const {
    int number = 0;
    {
      TRY(acting, ActingAs::become(caller_));
      number = work(static_cast<const ActingAs&>(acting));
    }
    return number == 0 ? ok() : Status(error_for(path, other, number));
  }
  template <class Work>
  Status run(std::string_view path, Work work) const {
    return run(path, {}, std::move(work));
  }

  // invalid_argument for a path that is none, and for names that listings leave out.
  Status check_path(std::string_view path) const;
  // The same, and for the root, which can not be made, moved or removed (EBUSY).
  Status check_entry(std::string_view path) const;

 private:
  Error error_for(std::string_view path, std::string_view other, int number) const;

  const ConfinedRoot& root_;
  const Caller& caller_;
};

}  // namespace hearth
