#include "tests/posix/suite.h"

#include <dirent.h>
#include <grp.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

namespace hearth::posix {

namespace {

struct Run {
  std::string path;  // --path
  std::vector<Feature> lacks;
  std::string directory;  // of this run, below path
  UniqueFd base;          // the same, open
  UniqueFd clock;         // a file in it whose times tell the time
  bool keep = false;
};
Run& run() {
  static Run instance;
  return instance;
}

std::string why(const std::string& what) {
  return what + ": " + std::strerror(errno);
}

// The thread's own ids: glibc's wrappers are for whole processes.
void switch_to(const User& user) {
  const bool down = user.uid != 0;
  const auto ids = [&](uid_t uid, gid_t gid) {
    if (::syscall(SYS_setresgid, gid, gid, 0) != 0 || ::syscall(SYS_setresuid, uid, uid, 0) != 0) std::abort();
  };
  if (!down) ids(0, 0);
  if (::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0) std::abort();
  if (down) ids(user.uid, user.gid);
}

std::string read_all(int fd) {
  constexpr std::size_t most = 64 << 20;
  std::string bytes;
  char piece[65536];
  for (off_t at = 0;;) {
    const ssize_t n = ::pread(fd, piece, sizeof(piece), at);
    if (n < 0) ADD_FAILURE() << why("pread");
    if (n <= 0) return bytes;
    bytes.append(piece, static_cast<std::size_t>(n));
    if (bytes.size() > most) {
      ADD_FAILURE() << "more than " << most << " bytes to read";
      return bytes;
    }
    at += n;
  }
}

}  // namespace

const std::vector<FeatureName>& feature_names() {
  static const std::vector<FeatureName> names = {
      {Feature::acl, "acl"},
      {Feature::tmpfile, "tmpfile"},
      {Feature::fallocate, "fallocate"},
      {Feature::punch_hole, "punch-hole"},
      {Feature::zero_range, "zero-range"},
      {Feature::user_xattr, "user-xattr"},
      {Feature::trusted_xattr, "trusted-xattr"},
      {Feature::link, "link"},
      {Feature::mknod, "mknod"},
      {Feature::rename_exchange, "rename-exchange"},
      {Feature::mmap_shared, "mmap-shared"},
      {Feature::direct, "direct"},
  };
  return names;
}

bool lacks(Feature feature) {
  return std::count(run().lacks.begin(), run().lacks.end(), feature) > 0;
}

std::ostream& operator<<(std::ostream& out, Errno error) {
  const char* name = ::strerrorname_np(error.value);
  if (error.value == 0) return out << "success (0)";
  return out << (name == nullptr ? "?" : name) << " (" << error.value << ")";
}

Errno errno_of_open(const std::string& path, int flags, mode_t mode) {
  const UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  return errno_of(fd.get());
}

bool one_of(Errno error, std::initializer_list<int> values) {
  return std::count(values.begin(), values.end(), error.value) > 0;
}

void as(const User& user, const std::function<void()>& body) {
  switch_to(user);
  body();
  switch_to(root);
}

int in_child(const std::function<int()>& body, const User& user) {
  std::cout.flush();
  const pid_t child = ::fork();
  if (child == 0) {
    if (user.uid != 0) switch_to(user);
    ::_exit(body());
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    ADD_FAILURE() << why("a child process");
    return -1;
  }
  return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

UniqueFd opened(const std::string& path, int flags, mode_t mode) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) ADD_FAILURE() << why("open " + path);
  return fd;
}

void make_file(const std::string& path, std::string_view bytes, mode_t mode) {
  const UniqueFd fd = opened(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (!fd) return;
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n <= 0) {
      ADD_FAILURE() << why("write " + path);
      return;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  if (::fchmod(fd.get(), mode) != 0) ADD_FAILURE() << why("fchmod " + path);
}

void make_directory(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), 0700) != 0) ADD_FAILURE() << why("mkdir " + path);
  if (::chmod(path.c_str(), mode) != 0) ADD_FAILURE() << why("chmod " + path);
}

void give(const std::string& path, const User& owner) {
  struct stat before = status(path);
  if (::lchown(path.c_str(), owner.uid, owner.gid) != 0) ADD_FAILURE() << why("chown " + path);
  // chown may have taken setuid and setgid away.
  if (!S_ISLNK(before.st_mode) && ::chmod(path.c_str(), before.st_mode & 07777) != 0)
    ADD_FAILURE() << why("chmod " + path);
}

std::string contents(int fd) {
  return read_all(fd);
}

std::string contents(const std::string& path) {
  const UniqueFd fd = opened(path, O_RDONLY);
  return fd ? read_all(fd.get()) : "";
}

::testing::AssertionResult same(std::string_view actual, std::string_view expected) {
  if (actual == expected) return ::testing::AssertionSuccess();
  const std::size_t common = std::min(actual.size(), expected.size());
  const auto at = static_cast<std::size_t>(
      std::mismatch(actual.begin(), actual.begin() + static_cast<std::ptrdiff_t>(common), expected.begin()).first -
      actual.begin());
  const auto around = [at](std::string_view bytes) {
    return ::testing::PrintToString(std::string(bytes.substr(std::min(at, bytes.size()), 16)));
  };
  return ::testing::AssertionFailure() << actual.size() << " bytes instead of " << expected.size()
                                       << "; the first difference is at " << at << ": " << around(actual)
                                       << " instead of " << around(expected);
}

bool exists(const std::string& path) {
  struct stat s;
  if (::lstat(path.c_str(), &s) == 0) return true;
  if (errno != ENOENT) ADD_FAILURE() << why("lstat " + path);
  return false;
}

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* scan = ::opendir(directory.c_str());
  if (scan == nullptr) {
    ADD_FAILURE() << why("opendir " + directory);
    return names;
  }
  while (const dirent* entry = ::readdir(scan)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(scan);
  std::sort(names.begin(), names.end());
  return names;
}

struct stat status(const std::string& path) {
  struct stat s = {};
  if (::lstat(path.c_str(), &s) != 0) ADD_FAILURE() << why("lstat " + path);
  return s;
}

struct stat status(int fd) {
  struct stat s = {};
  if (::fstat(fd, &s) != 0) ADD_FAILURE() << why("fstat");
  return s;
}

mode_t permissions(const std::string& path) {
  return status(path).st_mode & 07777;
}

std::string pattern(std::size_t length, unsigned seed) {
  std::string bytes(length, '\0');
  unsigned state = seed * 2654435761U + 1;
  for (char& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(1 + (state >> 24) % 255);
  }
  return bytes;
}

long long nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

void let_the_clock_move() {
  // Kernels stamp by a clock that ticks each 1 to 10 ms, servers by a finer one: 20 ms apart is later by both.
  constexpr long long enough_ns = 20'000'000;
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const int clock = run().clock.get();
  const auto now = [clock] { return ::pwrite(clock, "x", 1, 0) == 1 ? mtime(status(clock)) : 0; };
  const long long start = now();
  while (now() < start + enough_ns) {
    if (std::chrono::steady_clock::now() > limit) {
      ADD_FAILURE() << "the modification time of a file that is written does not move";
      return;
    }
    ::sched_yield();
  }
}

std::string Posix::elsewhere() {
  const dev_t here = status(base()).st_dev;
  for (const char* other : {"/dev/shm", "/", "/tmp", "/run"}) {
    struct stat s;
    if (::stat(other, &s) == 0 && s.st_dev != here) return std::string(other) + "/hearth-posix-suite-exdev";
  }
  ADD_FAILURE() << "no other file system on this machine";
  return "/nowhere";
}

int Posix::base() {
  return run().base.get();
}

void Posix::SetUp() {
  ::umask(022);
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  directory_ = std::string(info->test_suite_name()) + "." + info->name();
  std::replace(directory_.begin(), directory_.end(), '/', '_');
  ASSERT_EQ(errno_of(::mkdirat(base(), directory_.c_str(), 0777)), 0);
  ASSERT_EQ(errno_of(::fchdir(base())), 0);
  ASSERT_EQ(errno_of(::chdir(directory_.c_str())), 0);
  ASSERT_EQ(errno_of(::chmod(".", 0777)), 0) << "everyone may make files in the directory of a test";
  for (const Feature need : needs_) {
    for (const auto& [feature, name] : feature_names()) {
      if (feature == need && lacks(need)) GTEST_SKIP() << "--lacks " << name;
    }
  }
}

void Posix::TearDown() {
  ::umask(022);
  if (::fchdir(base()) != 0 || directory_.empty() || run().keep) return;
  std::error_code error;
  std::filesystem::remove_all(directory_, error);
  if (error) ADD_FAILURE() << "the test's directory can not be removed: " << error.message();
}

std::string take_flags(int& argc, char** argv) {
  std::vector<char*> rest = {argv[0]};
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--keep") {
      run().keep = true;
    } else if (flag == "--path" || flag == "--lacks") {
      if (i + 1 == argc) return flag + " needs a value";
      const std::string value = argv[++i];
      if (flag == "--path") {
        run().path = value;
        continue;
      }
      for (std::size_t begin = 0; begin <= value.size();) {
        const std::size_t comma = std::min(value.find(',', begin), value.size());
        const std::string_view word = std::string_view(value).substr(begin, comma - begin);
        const auto known =
            std::find_if(feature_names().begin(), feature_names().end(), [&](const auto& f) { return f.name == word; });
        if (known == feature_names().end()) return "--lacks knows no '" + std::string(word) + "'";
        run().lacks.push_back(known->feature);
        begin = comma + 1;
      }
    } else {
      rest.push_back(argv[i]);
    }
  }
  argc = static_cast<int>(rest.size());
  std::copy(rest.begin(), rest.end(), argv);
  argv[argc] = nullptr;
  return run().path.empty() ? "--path DIR is needed" : "";
}

std::string begin() {
  std::string made = run().path + "/hearth-posix-suite-XXXXXX";
  if (::mkdtemp(made.data()) == nullptr) return why(made);
  run().directory = std::filesystem::absolute(made);
  run().base = UniqueFd(::open(made.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!run().base || ::fchmod(run().base.get(), 0755) != 0) return why(made);
  run().clock = UniqueFd(::openat(run().base.get(), "clock", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  if (!run().clock) return why(made + "/clock");
  return "";
}

void end() {
  if (run().keep) {
    std::cout << "kept: " << run().directory << "\n";
    return;
  }
  if (::chdir("/") != 0) return;
  std::error_code error;
  std::filesystem::remove_all(run().directory, error);
  if (error) std::cerr << run().directory << " can not be removed: " << error.message() << "\n";
}

const std::string& path_flag() {
  return run().path;
}

}  // namespace hearth::posix
