// POSIX access control lists, by their raw attributes (linux/posix_acl_xattr.h).
#include "tests/posix/suite.h"

#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>

namespace hearth::posix {
namespace {

using Acl = Needs<Feature::acl>;

constexpr const char* access_name = "system.posix_acl_access";
constexpr const char* default_name = "system.posix_acl_default";

struct Rule {
  std::uint16_t tag;
  std::uint16_t bits;
  std::uint32_t id = ACL_UNDEFINED_ID;
  bool operator==(const Rule&) const = default;
};
using Rules = std::vector<Rule>;
std::ostream& operator<<(std::ostream& out, const Rule& rule) {
  return out << "{tag " << rule.tag << ", bits " << rule.bits << ", id " << rule.id << "}";
}

// rw-r-----, alice rw-, common group r--, mask rw-.
const Rules example = {{ACL_USER_OBJ, 6},  {ACL_USER, 6, alice.uid},
                       {ACL_GROUP_OBJ, 4}, {ACL_GROUP, 4, common_group},
                       {ACL_MASK, 6},      {ACL_OTHER, 0}};

std::string encoded(const Rules& rules) {
  const posix_acl_xattr_header header = {POSIX_ACL_XATTR_VERSION};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  for (const Rule& rule : rules) {
    const posix_acl_xattr_entry entry = {rule.tag, rule.bits, rule.id};
    bytes.append(reinterpret_cast<const char*>(&entry), sizeof(entry));
  }
  return bytes;
}

Errno set(const std::string& file, const char* name, const Rules& rules) {
  const std::string bytes = encoded(rules);
  return errno_of(::setxattr(file.c_str(), name, bytes.data(), bytes.size(), 0));
}

// Empty where there is none.
Rules get(const std::string& file, const char* name) {
  char bytes[1024];
  const ssize_t n = ::getxattr(file.c_str(), name, bytes, sizeof(bytes));
  if (n < 0 && errno != ENODATA) ADD_FAILURE() << "getxattr " << name << ": " << Errno{errno};
  Rules rules;
  for (std::size_t at = sizeof(posix_acl_xattr_header); n > 0 && at < static_cast<std::size_t>(n);
       at += sizeof(posix_acl_xattr_entry)) {
    posix_acl_xattr_entry entry;
    std::memcpy(&entry, bytes + at, sizeof(entry));
    rules.push_back({entry.e_tag, entry.e_perm, entry.e_id});
  }
  return rules;
}

TEST_F(Acl, IsKeptAndShowsItsMaskAsTheGroupsBits) {
  make_file("file", "", 0640);
  ASSERT_EQ(set("file", access_name, example), 0);
  EXPECT_EQ(get("file", access_name), example);
  EXPECT_EQ(permissions("file"), 0660U);
}

TEST_F(Acl, OfThreeEntriesIsTheModeAndNothingMore) {
  make_file("file", "", 0600);
  ASSERT_EQ(set("file", access_name, {{ACL_USER_OBJ, 6}, {ACL_GROUP_OBJ, 4}, {ACL_OTHER, 4}}), 0);
  EXPECT_EQ(permissions("file"), 0644U);
  EXPECT_TRUE(get("file", access_name).empty());
}

TEST_F(Acl, GivesNamedUsersAndGroupsTheirBits) {
  make_file("file", "bytes", 0600);
  ASSERT_EQ(set("file", access_name, example), 0);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), 0); });
  as(bob, [] {
    EXPECT_EQ(errno_of_open("file", O_RDONLY), 0) << "by the common group";
    EXPECT_EQ(errno_of_open("file", O_WRONLY), EACCES);
    EXPECT_EQ(errno_of(::access("file", W_OK)), EACCES);
  });
  as(User{61003, 61003, {}}, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES); });
}

TEST_F(Acl, TakesBitsFromANamedUser) {
  make_file("file", "bytes", 0644);
  ASSERT_EQ(set("file", access_name,
                {{ACL_USER_OBJ, 6}, {ACL_USER, 0, alice.uid}, {ACL_GROUP_OBJ, 4}, {ACL_MASK, 7}, {ACL_OTHER, 4}}),
            0);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES); });
  as(bob, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), 0); });
}

TEST_F(Acl, ChmodSetsTheMask) {
  make_file("file", "bytes", 0640);
  ASSERT_EQ(set("file", access_name, example), 0);
  ASSERT_EQ(::chmod("file", 0640), 0);
  as(alice, [] {
    EXPECT_EQ(errno_of_open("file", O_RDONLY), 0);
    EXPECT_EQ(errno_of_open("file", O_WRONLY), EACCES) << "the mask is r--";
  });
  Rules expected = example;
  expected[4].bits = 4;
  EXPECT_EQ(get("file", access_name), expected);
  ASSERT_EQ(::chmod("file", 0600), 0);
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDONLY), EACCES); });
}

TEST_F(Acl, OfADirectoryGivesSearchAndWrite) {
  make_directory("d", 0700);
  make_file("d/file", "bytes");
  ASSERT_EQ(set("d", access_name,
                {{ACL_USER_OBJ, 7},
                 {ACL_USER, 7, alice.uid},
                 {ACL_USER, 1, bob.uid},
                 {ACL_GROUP_OBJ, 0},
                 {ACL_MASK, 7},
                 {ACL_OTHER, 0}}),
            0);
  as(alice, [] { EXPECT_EQ(errno_of_open("d/new", O_CREAT | O_RDWR), 0); });
  as(bob, [] {
    EXPECT_EQ(errno_of_open("d/file", O_RDONLY), 0);
    EXPECT_EQ(errno_of_open("d/newer", O_CREAT | O_RDWR), EACCES);
    EXPECT_EQ(errno_of_open("d", O_RDONLY), EACCES);
  });
}

TEST_F(Acl, DefaultIsInheritedByFilesAndIgnoresTheUmask) {
  make_directory("d", 0777);
  const Rules rules = {{ACL_USER_OBJ, 7}, {ACL_USER, 7, alice.uid}, {ACL_GROUP_OBJ, 7}, {ACL_MASK, 7}, {ACL_OTHER, 5}};
  ASSERT_EQ(set("d", default_name, rules), 0);
  EXPECT_EQ(get("d", default_name), rules);
  ::umask(077);
  EXPECT_EQ(errno_of_open("d/file", O_CREAT | O_RDWR, 0664), 0);
  EXPECT_EQ(permissions("d/file"), 0664U);
  EXPECT_EQ(get("d/file", access_name),
            (Rules{{ACL_USER_OBJ, 6}, {ACL_USER, 7, alice.uid}, {ACL_GROUP_OBJ, 7}, {ACL_MASK, 6}, {ACL_OTHER, 4}}));
  EXPECT_TRUE(get("d/file", default_name).empty());
  as(alice, [] { EXPECT_EQ(errno_of_open("d/file", O_RDWR), 0); });
}

TEST_F(Acl, DefaultIsInheritedByDirectoriesAsBoth) {
  make_directory("d", 0777);
  const Rules rules = {{ACL_USER_OBJ, 7}, {ACL_USER, 5, alice.uid}, {ACL_GROUP_OBJ, 5}, {ACL_MASK, 5}, {ACL_OTHER, 0}};
  ASSERT_EQ(set("d", default_name, rules), 0);
  ASSERT_EQ(errno_of(::mkdir("d/below", 0777)), 0);
  EXPECT_EQ(get("d/below", default_name), rules);
  EXPECT_EQ(get("d/below", access_name), rules);
  ASSERT_EQ(errno_of(::mkdir("d/below/deeper", 0700)), 0);
  EXPECT_EQ(get("d/below/deeper", default_name), rules);
  EXPECT_EQ(permissions("d/below/deeper"), 0700U);
}

TEST_F(Acl, DefaultDoesNotGovernItsOwnDirectory) {
  make_directory("d", 0700);
  ASSERT_EQ(set("d", default_name,
                {{ACL_USER_OBJ, 7}, {ACL_USER, 7, alice.uid}, {ACL_GROUP_OBJ, 7}, {ACL_MASK, 7}, {ACL_OTHER, 7}}),
            0);
  EXPECT_EQ(permissions("d"), 0700U);
  as(alice, [] { EXPECT_EQ(errno_of_open("d/file", O_CREAT | O_RDWR), EACCES); });
}

TEST_F(Acl, IsRemoved) {
  make_directory("d", 0777);
  ASSERT_EQ(set("d", default_name, {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}}), 0);
  ASSERT_EQ(errno_of(::removexattr("d", default_name)), 0);
  EXPECT_TRUE(get("d", default_name).empty());
  make_file("file", "", 0600);
  ASSERT_EQ(set("file", access_name, example), 0);
  ASSERT_EQ(errno_of(::removexattr("file", access_name)), 0);
  EXPECT_TRUE(get("file", access_name).empty());
  as(alice, [] { EXPECT_EQ(errno_of_open("file", O_RDWR), EACCES); });
}

TEST_F(Acl, IsSetByTheOwnerOnly) {
  make_file("file", "", 0666);
  give("file", alice);
  as(bob, [] { EXPECT_EQ(set("file", access_name, example), EPERM); });
  as(alice, [] { EXPECT_EQ(set("file", access_name, example), 0); });
}

TEST_F(Acl, ThatMakesNoSenseIsRefused) {
  make_file("file", "", 0644);
  EXPECT_EQ(set("file", access_name, {{ACL_USER_OBJ, 6}, {ACL_GROUP_OBJ, 4}}), EINVAL) << "no entry for others";
  EXPECT_EQ(set("file", access_name, {{ACL_USER_OBJ, 6}, {ACL_USER, 6, alice.uid}, {ACL_GROUP_OBJ, 4}, {ACL_OTHER, 0}}),
            EINVAL)
      << "no mask";
  EXPECT_EQ(set("file", access_name, {{ACL_USER_OBJ, 9}, {ACL_GROUP_OBJ, 4}, {ACL_OTHER, 0}}), EINVAL) << "bits";
  EXPECT_EQ(set("file", default_name, {{ACL_USER_OBJ, 7}, {ACL_GROUP_OBJ, 7}, {ACL_OTHER, 7}}), EACCES)
      << "default of a file";
  EXPECT_EQ(errno_of(::setxattr("file", access_name, "\x63\0\0\0", 4, 0)), EOPNOTSUPP) << "another version";
  EXPECT_EQ(permissions("file"), 0644U);
}

TEST_F(Acl, StaysOverARenameAndGoesWithTheFile) {
  make_file("file", "", 0640);
  ASSERT_EQ(set("file", access_name, example), 0);
  ASSERT_EQ(::rename("file", "moved"), 0);
  EXPECT_EQ(get("moved", access_name), example);
  make_file("new", "", 0600);
  ASSERT_EQ(::rename("new", "moved"), 0);
  EXPECT_TRUE(get("moved", access_name).empty());
}

}  // namespace
}  // namespace hearth::posix
