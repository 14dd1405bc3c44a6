// Changes in the name of a caller: made as the caller, looked at as the process. Nothing here waits for the disk but
// SyncDirectory.
#include "understore/as_caller.h"
#include "understore/local_files.h"
#include "understore/store_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

namespace hearth {
namespace {

int errno_of(int returned) { return returned == 0 ? 0 : errno; }

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

timespec stamp_of(const std::optional<SetAttributes::Time>& time) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  if (!time) return {.tv_sec = 0, .tv_nsec = UTIME_OMIT};
  if (time->now) return {.tv_sec = 0, .tv_nsec = UTIME_NOW};
  const std::int64_t rest_ns = (time->ns % second_ns + second_ns) % second_ns;
  return {.tv_sec = (time->ns - rest_ns) / second_ns, .tv_nsec = rest_ns};
}

// The owner first: changing it clears set-user-id.
int set_attributes(const SetAttributes& set, int fd) {
  const std::string self = path_of_fd(fd);
  if (set.mode) {
    struct stat status {};
    if (::fstat(fd, &status) != 0) return errno;
    if (S_ISLNK(status.st_mode)) return EOPNOTSUPP;
  }
  if (set.uid || set.gid) {
    constexpr std::uint32_t as_it_is = ~0U;
    const int changed = ::fchownat(fd, "", set.uid.value_or(as_it_is), set.gid.value_or(as_it_is), AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    if (changed != 0) return errno;
  }
  if (set.mode && ::chmod(self.c_str(), *set.mode & 07777) != 0) return errno;
  if (!set.atime && !set.mtime) return 0;
  const std::array<timespec, 2> times{stamp_of(set.atime), stamp_of(set.mtime)};
  return errno_of(::utimensat(AT_FDCWD, self.c_str(), times.data(), 0));
}

int set_xattr(const SetXattr& set, int fd) {
  if (has_nul(set.name)) return EINVAL;
  const int flags = set.presence == SetXattr::Presence::must_be_absent    ? XATTR_CREATE
                    : set.presence == SetXattr::Presence::must_be_present ? XATTR_REPLACE
                                                                          : 0;
  return errno_of(::setxattr(path_of_fd(fd).c_str(), set.name.c_str(), set.value.data(), set.value.size(), flags));
}

std::string version_of(Result<LocalObject> look) {
  if (!look) return "";
  if (look->settled == Settled::no) add_nonce(look->info);
  return std::move(look->info.version);
}

// One change, by its kind.
class Changing {
 public:
  Changing(const ConfinedRoot& root, const Caller& caller) : root_(root), as_caller_(root, caller) {}

  Result<ChangeResult> operator()(const MakeDirectory& make) {
    return make_entry(make.path, [&](const Entry& at, const ActingAs& acting) {
      return ::mkdirat(at.directory.get(), at.name.c_str(), acting.mode(make.mode & 07777));
    });
  }
  Result<ChangeResult> operator()(const MakeNode& make) {
    return make_entry(make.path, [&](const Entry& at, const ActingAs& acting) {
      return ::mknodat(at.directory.get(), at.name.c_str(), acting.mode(make.mode), make.device);
    });
  }
  Result<ChangeResult> operator()(const MakeSymlink& make) {
    if (has_nul(make.target)) return Error(Code::invalid_argument, printable_path(make.path) + ": a symlink's target has no NUL");
    return make_entry(make.path, [&](const Entry& at, const ActingAs&) {
      return ::symlinkat(make.target.c_str(), at.directory.get(), at.name.c_str());
    });
  }
  Result<ChangeResult> operator()(const RemoveFile& remove) { return remove_entry(remove.path, 0); }
  Result<ChangeResult> operator()(const RemoveDirectory& remove) { return remove_entry(remove.path, AT_REMOVEDIR); }
  Result<ChangeResult> operator()(const MakeLink& make);
  Result<ChangeResult> operator()(const Rename& rename);
  Result<ChangeResult> operator()(const SetAttributes& set) {
    return change_object(set.path, [&](int fd) { return set_attributes(set, fd); });
  }
  Result<ChangeResult> operator()(const SetXattr& set) {
    return change_object(set.path, [&](int fd) { return set_xattr(set, fd); });
  }
  Result<ChangeResult> operator()(const RemoveXattr& remove) {
    return change_object(remove.path, [&](int fd) {
      if (has_nul(remove.name)) return EINVAL;
      return errno_of(::removexattr(path_of_fd(fd).c_str(), remove.name.c_str()));
    });
  }
  Result<ChangeResult> operator()(const SyncDirectory& sync);
  Result<ChangeResult> operator()(const LookAgain& look);

 private:
  template <class Call>
  Result<ChangeResult> make_entry(const std::string& path, Call call);
  Result<ChangeResult> remove_entry(const std::string& path, int flags);
  template <class Call>
  Result<ChangeResult> change_object(const std::string& path, Call call);

  std::string version_of_entry(const std::string& path, const Entry& entry) const {
    return version_of(look_at_entry(root_, entry.directory.get(), entry.name, split_store_path(path).parent));
  }
  void touched(const std::string& path, Result<LocalObject> look);
  void touched_entry(const std::string& path, const Entry& entry);

  // Set once.
  const ConfinedRoot& root_;
  const AsCaller as_caller_;
  // Of the change so far.
  ChangeResult result_;
};

// What can not be looked at is left out: it is neither there nor gone.
void Changing::touched(const std::string& path, Result<LocalObject> look) {
  if (!look && look.code() != Code::not_found) return;
  Touched touched{.path = path, .now = std::nullopt};
  if (look) {
    if (look->settled == Settled::no) add_nonce(look->info);
    touched.now = std::move(look->info);
  }
  result_.touched.push_back(std::move(touched));
}

// The entry and its directory. Of a directory behind a symlink nobody knows the path: a path names the symlink.
void Changing::touched_entry(const std::string& path, const Entry& entry) {
  const std::string parent = split_store_path(path).parent;
  touched(path, look_at_entry(root_, entry.directory.get(), entry.name, parent));
  const bool known = std::any_of(result_.touched.begin(), result_.touched.end(),
                                 [&](const Touched& one) { return one.path == parent; });
  if (!known && !entry.behind_symlink) touched(parent, look_at_fd(root_, entry.directory.get(), parent));
}

template <class Call>
Result<ChangeResult> Changing::make_entry(const std::string& path, Call call) {
  CHECK_OK(as_caller_.check_entry(path));
  Entry entry;
  CHECK_OK(as_caller_.run(path, [&](const ActingAs& acting) {
    const int found = find_entry(root_, path, entry);
    return found != 0 ? found : errno_of(call(entry, acting));
  }));
  touched_entry(path, entry);
  return std::move(result_);
}

Result<ChangeResult> Changing::remove_entry(const std::string& path, int flags) {
  CHECK_OK(as_caller_.check_entry(path));
  Entry entry;
  CHECK_OK(as_caller_.run(path, [&](const ActingAs&) {
    if (const int number = find_entry(root_, path, entry); number != 0) return number;
    result_.version_before = version_of_entry(path, entry);
    return errno_of(::unlinkat(entry.directory.get(), entry.name.c_str(), flags));
  }));
  touched_entry(path, entry);
  return std::move(result_);
}

Result<ChangeResult> Changing::operator()(const MakeLink& make) {
  CHECK_OK(as_caller_.check_entry(make.path));
  CHECK_OK(as_caller_.check_entry(make.existing));
  Entry existing;
  Entry entry;
  CHECK_OK(as_caller_.run(make.existing, make.path, [&](const ActingAs&) {
    if (const int number = find_entry(root_, make.existing, existing); number != 0) return number;
    if (const int number = find_entry(root_, make.path, entry); number != 0) return number;
    result_.version_before = version_of_entry(make.existing, existing);
    return errno_of(::linkat(existing.directory.get(), existing.name.c_str(), entry.directory.get(), entry.name.c_str(), 0));
  }));
  touched(make.existing, look_at_entry(root_, existing.directory.get(), existing.name, split_store_path(make.existing).parent));
  touched_entry(make.path, entry);
  return std::move(result_);
}

Result<ChangeResult> Changing::operator()(const Rename& rename) {
  CHECK_OK(as_caller_.check_entry(rename.from));
  CHECK_OK(as_caller_.check_entry(rename.to));
  const unsigned flags = rename.target == Rename::Target::must_be_absent ? RENAME_NOREPLACE
                         : rename.target == Rename::Target::exchange     ? RENAME_EXCHANGE
                                                                         : 0;
  Entry from;
  Entry to;
  CHECK_OK(as_caller_.run(rename.from, rename.to, [&](const ActingAs&) {
    if (const int number = find_entry(root_, rename.from, from); number != 0) return number;
    if (const int number = find_entry(root_, rename.to, to); number != 0) return number;
    result_.version_before = version_of_entry(rename.from, from);
    return errno_of(::renameat2(from.directory.get(), from.name.c_str(), to.directory.get(), to.name.c_str(), flags));
  }));
  touched_entry(rename.from, from);
  if (rename.to != rename.from) touched_entry(rename.to, to);
  return std::move(result_);
}

template <class Call>
Result<ChangeResult> Changing::change_object(const std::string& path, Call call) {
  CHECK_OK(as_caller_.check_path(path));
  UniqueFd object;
  CHECK_OK(as_caller_.run(path, [&](const ActingAs&) {
    if (const int number = find_object(root_, path, object); number != 0) return number;
    result_.version_before = version_of(look_at_fd(root_, object.get(), path));
    return call(object.get());
  }));
  touched(path, look_at_fd(root_, object.get(), path));
  return std::move(result_);
}

// Found as the caller and synced as the process: whoever may reach a directory may wait for it, also when its mode
// changed since he opened it.
Result<ChangeResult> Changing::operator()(const SyncDirectory& sync) {
  CHECK_OK(as_caller_.check_path(sync.path));
  UniqueFd found;
  CHECK_OK(as_caller_.run(sync.path, [&](const ActingAs&) { return find_object(root_, sync.path, found); }));
  TRY(looked, look_at_fd(root_, found.get(), sync.path));
  if (looked.info.type != FileType::directory) return root_.error_for(sync.path, ENOTDIR);
  const UniqueFd directory(::open(path_of_fd(found.get()).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) {
    const int number = errno;
    return root_.error_for(sync.path, number).with_error_number(number);
  }
  result_.version_before = version_of(std::move(looked));
  touched(sync.path, look_at_fd(root_, directory.get(), sync.path));
  return std::move(result_);
}

// Nothing is asked for in the caller's name: it is the process that wants to know.
Result<ChangeResult> Changing::operator()(const LookAgain& look) {
  if (look.path.empty()) {
    TRY(fd, root_.open_beneath(look.path, O_PATH));
    touched(look.path, look_at_fd(root_, fd.get(), look.path));
    return std::move(result_);
  }
  const SplitPath split = split_store_path(look.path);
  TRY(parent, root_.open_parent(split.parent));
  Entry entry;
  entry.directory = std::move(parent);
  entry.name = split.name;
  touched_entry(look.path, entry);
  return std::move(result_);
}

}  // namespace

Result<ChangeResult> LocalFiles::change(const Change& change, const Caller& caller) {
  TRY(root, present_root());
  Changing changing(*root, caller);
  return std::visit(changing, change);
}

}  // namespace hearth
