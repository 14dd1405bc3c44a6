// Extended attributes.
#include "tests/posix/suite.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <set>

namespace hearth::posix {
namespace {

using Xattr = Needs<Feature::user_xattr>;
using TrustedXattr = Needs<Feature::trusted_xattr>;

Errno set(const char* file, const std::string& name, const std::string& value, int flags = 0) {
  return errno_of(::setxattr(file, name.c_str(), value.data(), value.size(), flags));
}

std::string get(const char* file, const std::string& name) {
  std::string value(65'536, '\0');
  const ssize_t n = ::getxattr(file, name.c_str(), value.data(), value.size());
  return n < 0 ? "(" + std::string(::strerrorname_np(errno)) + ")" : value.substr(0, static_cast<std::size_t>(n));
}

// Only of the name space `prefix`: security modules add names of their own.
std::set<std::string> listed(const char* file, std::string_view prefix = "user.") {
  std::string all(65'536, '\0');
  const ssize_t n = ::listxattr(file, all.data(), all.size());
  if (n < 0) ADD_FAILURE() << "listxattr: " << Errno{errno};
  std::set<std::string> names;
  for (std::size_t at = 0; n > 0 && at < static_cast<std::size_t>(n);) {
    const std::string name = all.c_str() + at;
    at += name.size() + 1;
    if (name.starts_with(prefix)) names.insert(name);
  }
  return names;
}

TEST_F(Xattr, IsSetReadReplacedAndRemoved) {
  make_file("file");
  make_directory("directory");
  for (const char* name : {"file", "directory"}) {
    EXPECT_EQ(set(name, "user.color", "red"), 0);
    EXPECT_EQ(get(name, "user.color"), "red");
    EXPECT_EQ(set(name, "user.color", "a longer blue"), 0);
    EXPECT_EQ(get(name, "user.color"), "a longer blue");
    EXPECT_EQ(errno_of(::removexattr(name, "user.color")), 0);
    EXPECT_EQ(get(name, "user.color"), "(ENODATA)");
    EXPECT_EQ(errno_of(::removexattr(name, "user.color")), ENODATA);
  }
}

TEST_F(Xattr, ValuesAreBytesAndMayBeEmpty) {
  make_file("file");
  const std::string bytes("\0\xff\n\0x", 5);
  EXPECT_EQ(set("file", "user.bytes", bytes), 0);
  EXPECT_EQ(get("file", "user.bytes"), bytes);
  EXPECT_EQ(set("file", "user.empty", ""), 0);
  EXPECT_EQ(get("file", "user.empty"), "");
  EXPECT_EQ(listed("file"), (std::set<std::string>{"user.bytes", "user.empty"}));
}

TEST_F(Xattr, CreateAndReplaceFlags) {
  make_file("file");
  EXPECT_EQ(set("file", "user.a", "1", XATTR_REPLACE), ENODATA);
  EXPECT_EQ(set("file", "user.a", "1", XATTR_CREATE), 0);
  EXPECT_EQ(set("file", "user.a", "2", XATTR_CREATE), EEXIST);
  EXPECT_EQ(get("file", "user.a"), "1");
  EXPECT_EQ(set("file", "user.a", "3", XATTR_REPLACE), 0);
  EXPECT_EQ(get("file", "user.a"), "3");
  EXPECT_EQ(set("file", "user.a", "4", 64), EINVAL);
}

TEST_F(Xattr, ListsAllNames) {
  make_file("file");
  std::set<std::string> expected;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "user.name" + std::to_string(i);
    ASSERT_EQ(set("file", name, std::to_string(i)), 0);
    expected.insert(name);
  }
  EXPECT_EQ(listed("file"), expected);
  ASSERT_EQ(::removexattr("file", "user.name7"), 0);
  expected.erase("user.name7");
  EXPECT_EQ(listed("file"), expected);
  EXPECT_EQ(get("file", "user.name13"), "13");
}

TEST_F(Xattr, SizesAreAskedAndTooSmallBuffersRefused) {
  make_file("file");
  ASSERT_EQ(set("file", "user.a", "0123456789"), 0);
  char bytes[4];
  EXPECT_EQ(::getxattr("file", "user.a", nullptr, 0), 10);
  EXPECT_EQ(errno_of(::getxattr("file", "user.a", bytes, 4)), ERANGE);
  EXPECT_GE(::listxattr("file", nullptr, 0), 7);
  EXPECT_EQ(errno_of(::listxattr("file", bytes, 4)), ERANGE);
}

TEST_F(Xattr, LimitsOfNamesAndValues) {
  make_file("file");
  const std::string longest = "user." + std::string(250, 'n');
  EXPECT_EQ(set("file", longest, "x"), 0);
  EXPECT_EQ(get("file", longest), "x");
  EXPECT_EQ(set("file", longest + "n", "x"), ERANGE);
  EXPECT_EQ(set("file", "", "x"), ERANGE);
  EXPECT_TRUE(one_of(set("file", "user.", "x"), {EINVAL}));
  EXPECT_TRUE(one_of(set("file", "nospace.a", "x"), {EOPNOTSUPP}));
  EXPECT_EQ(set("file", "user.huge", std::string(65'537, 'x')), E2BIG);
  const std::string kilobyte = pattern(1'000);
  EXPECT_EQ(set("file", "user.value", kilobyte), 0);
  EXPECT_EQ(get("file", "user.value"), kilobyte);
}

TEST_F(Xattr, LargeValuesAreWholeOrRefused) {
  make_file("file");
  const std::string large = pattern(60'000);
  const Errno outcome = set("file", "user.large", large);
  EXPECT_TRUE(one_of(outcome, {0, ENOSPC, E2BIG, EDQUOT})) << outcome;
  EXPECT_EQ(get("file", "user.large"), outcome == 0 ? large : "(ENODATA)");
}

TEST_F(Xattr, OfUsersFollowsThePermissionsOfTheFile) {
  make_file("readable", "", 0644);
  make_file("writable", "", 0666);
  make_file("closed", "", 0600);
  for (const char* name : {"readable", "writable", "closed"}) ASSERT_EQ(set(name, "user.a", "1"), 0);
  as(alice, [] {
    EXPECT_EQ(get("readable", "user.a"), "1");
    EXPECT_EQ(set("readable", "user.a", "2"), EACCES);
    EXPECT_EQ(errno_of(::removexattr("readable", "user.a")), EACCES);
    EXPECT_EQ(set("writable", "user.a", "2"), 0);
    EXPECT_EQ(get("closed", "user.a"), "(EACCES)");
  });
  EXPECT_EQ(get("readable", "user.a"), "1");
  EXPECT_EQ(get("writable", "user.a"), "2");
}

TEST_F(Xattr, IsOnlyForFilesAndDirectories) {
  ASSERT_EQ(::symlink("absent", "link"), 0);
  EXPECT_EQ(errno_of(::lsetxattr("link", "user.a", "1", 1, 0)), EPERM);
  char bytes[10];
  EXPECT_EQ(errno_of(::lgetxattr("link", "user.a", bytes, 10)), ENODATA);
  EXPECT_EQ(errno_of(::setxattr("link", "user.a", "1", 1, 0)), ENOENT);
}

TEST_F(Xattr, InAStickyDirectoryOfAnotherIsRefused) {
  make_directory("sticky", 01777);
  as(alice, [] { EXPECT_EQ(set("sticky", "user.a", "1"), EPERM); });
}

TEST_F(Xattr, BelongsToTheFileNotToTheName) {
  make_file("file");
  make_file("other");
  ASSERT_EQ(set("file", "user.a", "file"), 0);
  ASSERT_EQ(set("other", "user.a", "other"), 0);
  const UniqueFd fd = opened("file", O_RDONLY);
  ASSERT_EQ(::rename("file", "moved"), 0);
  EXPECT_EQ(get("moved", "user.a"), "file");
  EXPECT_EQ(errno_of(::fsetxattr(fd.get(), "user.b", "2", 1, 0)), 0);
  EXPECT_EQ(get("moved", "user.b"), "2");
  ASSERT_EQ(::rename("other", "moved"), 0);
  EXPECT_EQ(get("moved", "user.a"), "other");
  EXPECT_EQ(listed("moved"), std::set<std::string>{"user.a"});
}

TEST_F(Xattr, StaysOverWritesAndChmod) {
  make_file("file");
  ASSERT_EQ(set("file", "user.a", "1"), 0);
  ASSERT_EQ(::truncate("file", 1'000), 0);
  ASSERT_EQ(::chmod("file", 0600), 0);
  ASSERT_EQ(::chown("file", alice.uid, alice.gid), 0);
  EXPECT_EQ(get("file", "user.a"), "1");
}

TEST_F(Xattr, OfANewFileOfTheSameNameIsNone) {
  make_file("file");
  ASSERT_EQ(set("file", "user.a", "1"), 0);
  ASSERT_EQ(::unlink("file"), 0);
  make_file("file");
  EXPECT_EQ(get("file", "user.a"), "(ENODATA)");
  EXPECT_TRUE(listed("file").empty());
}

TEST_F(TrustedXattr, IsForRoot) {
  make_file("file", "", 0666);
  give("file", alice);
  EXPECT_EQ(set("file", "trusted.a", "secret"), 0);
  EXPECT_EQ(get("file", "trusted.a"), "secret");
  EXPECT_EQ(listed("file", "trusted."), std::set<std::string>{"trusted.a"});
  as(alice, [] {
    EXPECT_EQ(get("file", "trusted.a"), "(ENODATA)");
    EXPECT_EQ(set("file", "trusted.a", "x"), EPERM);
    EXPECT_TRUE(listed("file", "trusted.").empty());
  });
  EXPECT_EQ(get("file", "trusted.a"), "secret");
}

}  // namespace
}  // namespace hearth::posix
