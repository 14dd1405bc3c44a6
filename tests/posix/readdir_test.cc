// Listing directories.
#include "tests/posix/suite.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

namespace hearth::posix {
namespace {

using Readdir = Posix;

class Scan {
 public:
  explicit Scan(const char* directory) : dir_(::opendir(directory)) {
    if (dir_ == nullptr) ADD_FAILURE() << "opendir " << directory << ": " << Errno{errno};
  }
  ~Scan() { ::closedir(dir_); }
  Scan(const Scan&) = delete;
  DIR* get() { return dir_; }
  // The next name; empty at the end.
  std::string next() {
    errno = 0;
    const dirent* entry = ::readdir(dir_);
    if (entry == nullptr && errno != 0) ADD_FAILURE() << "readdir: " << Errno{errno};
    return entry == nullptr ? "" : entry->d_name;
  }
  // How often each name comes from here to the end.
  std::map<std::string, int> rest() {
    std::map<std::string, int> names;
    for (std::string name = next(); !name.empty(); name = next()) ++names[name];
    return names;
  }

 private:
  DIR* dir_;
};

void make_files(const std::string& directory, int count) {
  for (int i = 0; i < count; ++i) make_file(directory + "/file" + std::to_string(i));
}

TEST_F(Readdir, OfAnEmptyDirectoryIsDotAndDotDot) {
  make_directory("d");
  EXPECT_EQ(Scan("d").rest(), (std::map<std::string, int>{{".", 1}, {"..", 1}}));
}

TEST_F(Readdir, SaysTypeAndNumberAsStatDoes) {
  make_directory("d");
  make_file("d/file");
  make_directory("d/directory");
  ASSERT_EQ(::symlink("file", "d/link"), 0);
  if (!lacks(Feature::mknod)) {
    ASSERT_EQ(::mkfifo("d/fifo", 0600), 0);
  }
  Scan scan("d");
  int seen = 0;
  while (const dirent* entry = ::readdir(scan.get())) {
    const std::string name = entry->d_name;
    const struct stat s = status("d/" + name);
    EXPECT_TRUE(entry->d_ino == s.st_ino || name == "..") << name;
    EXPECT_TRUE(entry->d_type == DT_UNKNOWN || entry->d_type == IFTODT(s.st_mode)) << name << " " << int{entry->d_type};
    ++seen;
  }
  EXPECT_EQ(seen, lacks(Feature::mknod) ? 5 : 6);
}

TEST_F(Readdir, ShowsEveryChangeToANewScan) {
  make_directory("d");
  std::vector<std::string> expected;
  for (int i = 0; i < 30; ++i) {
    expected.push_back("file" + std::to_string(i));
    make_file("d/" + expected.back());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(names_in("d"), expected);
  }
  while (!expected.empty()) {
    ASSERT_EQ(::unlink(("d/" + expected.back()).c_str()), 0);
    expected.pop_back();
    EXPECT_EQ(names_in("d"), expected);
  }
  make_file("file");
  ASSERT_EQ(::rename("file", "d/moved"), 0);
  EXPECT_EQ(names_in("d"), std::vector<std::string>{"moved"});
}

TEST_F(Readdir, TenThousandNamesComeOnceEach) {
  make_directory("d");
  make_files("d", 10'000);
  const auto names = Scan("d").rest();
  EXPECT_EQ(names.size(), 10'002U);
  EXPECT_TRUE(std::all_of(names.begin(), names.end(), [](const auto& name) { return name.second == 1; }));
}

TEST_F(Readdir, LongNamesComeOnceEach) {
  make_directory("d");
  std::set<std::string> expected = {".", ".."};
  for (int i = 0; i < 400; ++i) {
    const std::string digits = std::to_string(i);
    expected.insert(std::string(255 - digits.size(), 'n') + digits);
  }
  for (const std::string& name : expected) {
    if (name.size() > 2) make_file("d/" + name);
  }
  std::set<std::string> seen;
  for (const auto& [name, count] : Scan("d").rest()) {
    EXPECT_EQ(count, 1);
    seen.insert(name);
  }
  EXPECT_EQ(seen, expected);
}

TEST_F(Readdir, WhatStaysComesOnceThoughOthersAreRemoved) {
  make_directory("d");
  make_files("d", 2'000);
  Scan scan("d");
  std::map<std::string, int> seen;
  for (int i = 0; i < 100; ++i) ++seen[scan.next()];
  for (int i = 0; i < 2'000; i += 2) ASSERT_EQ(::unlink(("d/file" + std::to_string(i)).c_str()), 0);
  for (const auto& [name, count] : scan.rest()) seen[name] += count;
  for (int i = 1; i < 2'000; i += 2) EXPECT_EQ(seen["file" + std::to_string(i)], 1) << i;
  for (const auto& [name, count] : seen) EXPECT_LE(count, 1) << name;
}

TEST_F(Readdir, WhatWasThereComesOnceThoughOthersAreAdded) {
  make_directory("d");
  make_files("d", 1'000);
  Scan scan("d");
  std::map<std::string, int> seen;
  for (int i = 0; i < 50; ++i) ++seen[scan.next()];
  for (int i = 0; i < 1'000; ++i) make_file("d/added" + std::to_string(i));
  for (const auto& [name, count] : scan.rest()) seen[name] += count;
  for (int i = 0; i < 1'000; ++i) EXPECT_EQ(seen["file" + std::to_string(i)], 1) << i;
  for (const auto& [name, count] : seen) EXPECT_LE(count, 1) << name;
}

TEST_F(Readdir, RemovingWhileScanningEmptiesTheDirectory) {  // as rm -r does
  make_directory("d");
  make_files("d", 3'000);
  Scan scan("d");
  for (std::string name = scan.next(); !name.empty(); name = scan.next()) {
    const Errno outcome = errno_of(::unlink(("d/" + name).c_str()));
    EXPECT_TRUE(outcome == 0 || name == "." || name == "..") << name << ": " << outcome;
  }
  EXPECT_EQ(errno_of(::rmdir("d")), 0);
}

TEST_F(Readdir, SeekdirGoesBackToWhereTelldirWas) {
  make_directory("d");
  make_files("d", 1'500);
  Scan scan("d");
  std::vector<std::string> order;
  std::vector<long> places = {::telldir(scan.get())};
  for (std::string name = scan.next(); !name.empty(); name = scan.next()) {
    order.push_back(name);
    places.push_back(::telldir(scan.get()));
  }
  ASSERT_EQ(order.size(), 1'502U);
  for (const std::size_t at : {1'501U, 3U, 700U, 0U, 1U, 1'000U, 2U}) {
    ::seekdir(scan.get(), places[at]);
    EXPECT_EQ(scan.next(), order[at]) << at;
  }
  ::seekdir(scan.get(), places[1'502]);
  EXPECT_EQ(scan.next(), "");
}

TEST_F(Readdir, RewinddirSeesChanges) {
  make_directory("d");
  make_file("d/one");
  Scan scan("d");
  EXPECT_EQ(scan.rest().size(), 3U);
  make_file("d/two");
  ASSERT_EQ(::unlink("d/one"), 0);
  ::rewinddir(scan.get());
  EXPECT_EQ(scan.rest(), (std::map<std::string, int>{{".", 1}, {"..", 1}, {"two", 1}}));
}

TEST_F(Readdir, TwoScansDoNotDisturbEachOther) {
  make_directory("d");
  make_files("d", 300);
  Scan one("d"), two("d");
  for (int i = 0; i < 100; ++i) one.next();
  EXPECT_EQ(two.rest().size(), 302U);
  EXPECT_EQ(one.rest().size(), 202U);
}

TEST_F(Readdir, GoesOnInADirectoryThatMoved) {
  make_directory("d");
  make_files("d", 1'000);
  Scan scan("d");
  std::map<std::string, int> seen;
  for (int i = 0; i < 10; ++i) ++seen[scan.next()];
  ASSERT_EQ(::rename("d", "moved"), 0);
  for (const auto& [name, count] : scan.rest()) seen[name] += count;
  EXPECT_EQ(seen.size(), 1'002U);
}

TEST_F(Readdir, NeedsADirectory) {
  make_file("file");
  EXPECT_EQ(::opendir("file"), nullptr);
  EXPECT_EQ(Errno{errno}, ENOTDIR);
  EXPECT_EQ(::opendir("absent"), nullptr);
  EXPECT_EQ(Errno{errno}, ENOENT);
}

}  // namespace
}  // namespace hearth::posix
