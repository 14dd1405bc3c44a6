// What each POSIX rule is tested with: a fresh directory, three users, errors that print as names, a clock that moves.
//
// Every test runs with the current directory in a directory of its own below --path, so that names are plain ("file")
// and users need no permissions on what lies above.
//
// Threads: the suite has one. Users are switched by setresuid and its relatives on that thread.
#pragma once

#include "common/fd.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <functional>
#include <initializer_list>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::posix {

// What a file system may legitimately not have; named with --lacks. Then its tests are skipped with that reason, and
// Features.* demands that it is refused clearly.
enum class Feature {
  acl,              // system.posix_acl_access and _default
  tmpfile,          // O_TMPFILE
  fallocate,        // space ahead, with and without FALLOC_FL_KEEP_SIZE
  punch_hole,       // FALLOC_FL_PUNCH_HOLE
  zero_range,       // FALLOC_FL_ZERO_RANGE
  user_xattr,       // user.*
  trusted_xattr,    // trusted.*, for root
  link,             // hard links
  mknod,            // fifos, sockets, devices
  rename_exchange,  // RENAME_EXCHANGE
  mmap_shared,      // MAP_SHARED with PROT_WRITE
  direct,           // O_DIRECT
};
struct FeatureName {
  Feature feature;
  std::string_view name;
};
inline std::ostream& operator<<(std::ostream& out, const FeatureName& feature) {
  return out << feature.name;
}
const std::vector<FeatureName>& feature_names();
bool lacks(Feature feature);

// 0, or the errno of a call that failed.
struct Errno {
  int value = 0;
  bool operator==(int other) const { return value == other; }
};
std::ostream& operator<<(std::ostream& out, Errno error);  // "ENOENT (2)"

// Of a call that says failure with -1 (or MAP_FAILED): `EXPECT_EQ(errno_of(::rmdir("d")), ENOTEMPTY)`.
template <class Outcome>
Errno errno_of(Outcome outcome) {
  if constexpr (std::is_pointer_v<Outcome>) {
    return {outcome == MAP_FAILED ? errno : 0};
  } else {
    return {outcome < 0 ? errno : 0};
  }
}
// Of an open; the descriptor is closed.
Errno errno_of_open(const std::string& path, int flags, mode_t mode = 0644);
bool one_of(Errno error, std::initializer_list<int> values);

struct User {
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups;  // supplementary
};
inline constexpr gid_t common_group = 61010;   // alice's and bob's
inline constexpr gid_t foreign_group = 61099;  // nobody's
inline const User root{0, 0, {}};
inline const User alice{61001, 61001, {common_group}};
inline const User bob{61002, 61002, {common_group}};
// Runs `body` with the ids and groups of `user`, real and effective.
void as(const User& user, const std::function<void()>& body);
// What `body` returns (0..255) in a child process, run as `user`; 256 + signal when a signal ended it.
int in_child(const std::function<int()>& body, const User& user = root);

// Opens; the test fails with the errno when that does not go.
UniqueFd opened(const std::string& path, int flags, mode_t mode = 0644);
// A file with exactly these bytes and permissions, whatever the umask.
void make_file(const std::string& path, std::string_view bytes = "", mode_t mode = 0644);
void make_directory(const std::string& path, mode_t mode = 0755);
void give(const std::string& path, const User& owner);  // chown to uid and gid
std::string contents(const std::string& path);          // of at most 64 MiB
std::string contents(int fd);                           // from offset 0, without moving the file's
// `actual` is `expected`, or where the first difference is.
::testing::AssertionResult same(std::string_view actual, std::string_view expected);
bool exists(const std::string& path);                             // also of a dangling symlink
std::vector<std::string> names_in(const std::string& directory);  // without . and .., sorted
struct stat status(const std::string& path);                      // lstat
struct stat status(int fd);
mode_t permissions(const std::string& path);                 // the twelve bits
std::string pattern(std::size_t length, unsigned seed = 1);  // bytes without zeros

// Nanoseconds since the epoch.
long long nanoseconds(const timespec& time);
inline long long mtime(const struct stat& s) {
  return nanoseconds(s.st_mtim);
}
inline long long ctime(const struct stat& s) {
  return nanoseconds(s.st_ctim);
}
inline long long atime(const struct stat& s) {
  return nanoseconds(s.st_atim);
}
// Returns when a change made now gets a later time than any before, whatever the granularity and the clock.
void let_the_clock_move();

class Posix : public ::testing::Test {
 public:
  // A path in another file system, for EXDEV.
  static std::string elsewhere();
  static int base();  // the directory that holds the directories of all tests

 protected:
  explicit Posix(std::initializer_list<Feature> needs = {}) : needs_(needs) {}
  void SetUp() override;
  void TearDown() override;

 private:
  std::vector<Feature> needs_;
  std::string directory_;
};

// Of the tests that --lacks leaves out.
template <Feature feature>
class Needs : public Posix {
 protected:
  Needs() : Posix({feature}) {}
};

// Takes --path and --lacks out of the command line. A sentence when something is wrong with them.
std::string take_flags(int& argc, char** argv);
// Makes the directory of this run below --path. A sentence when that does not go.
std::string begin();
void end();  // removes it
const std::string& path_flag();

}  // namespace hearth::posix
