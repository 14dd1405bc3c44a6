// What a version tells of its object, and changes on their way to the master.
#include "common/change_wire.h"
#include "common/object_identity.h"

#include "proto/hearth.pb.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hearth {
namespace {

// ---- object_identity

TEST(ObjectIdentity, IsTheInodeOfAVersionOfALocalStoreAndNothingElse) {
  EXPECT_EQ(object_identity("l1-9aa-18ea-5"), "9aa");
  EXPECT_EQ(object_identity("l1-9aa-18eb-6-n77"), "9aa") << "another version, and one that is not settled";
  EXPECT_EQ(object_identity("l1-9aa"), "9aa");
  for (const char* other : {"", "l1", "l2-9aa-18ea-5", "\"etag-9aa-5\"", "v1", "-l1-9aa"}) EXPECT_EQ(object_identity(other), "") << other;
}

TEST(ObjectIdentity, KeysNameTheFileSystemOnlyWhereItIsNotThatOfTheRoot) {
  EXPECT_EQ(object_key("l1-9aa-18ea-5"), "9aa");
  EXPECT_EQ(object_key("l1-9aa-18ea-5-n77"), "9aa") << "a nonce is no device";
  EXPECT_EQ(object_key("l1-9aa-18ea-5-d803"), "9aa@803");
  EXPECT_EQ(object_key("l1-9aa-18ea-5-d803-nd1"), "9aa@803");
  EXPECT_EQ(object_key("\"etag\""), "");
}

TEST(ObjectIdentity, NumbersAreThoseOfTheObjectWhateverItsVersion) {
  EXPECT_EQ(object_number("l1-9aa-18ea-5"), 0x9aaU);
  EXPECT_EQ(object_number("l1-9aa-18ff-6-n77"), 0x9aaU);
  EXPECT_EQ(object_number("l1-ffffffffffffffff-1-1"), ~0ULL);
  EXPECT_EQ(object_number("v1"), 0U);
  EXPECT_EQ(object_number("l1-9aa-1-5-d803"), object_number("l1-9aa-2-6-d803-n1"));
  const std::set<std::uint64_t> apart{object_number("l1-9aa-1-5"), object_number("l1-9aa-1-5-d803"),
                                      object_number("l1-9aa-1-5-d804"), object_number("l1-9ab-1-5-d803")};
  EXPECT_EQ(apart.size(), 4U);
}

TEST(ObjectIdentity, NoncesAreToldFromTheRest) {
  EXPECT_EQ(without_nonce("l1-9aa-18ea-5-d803-n77"), "l1-9aa-18ea-5-d803");
  EXPECT_EQ(without_nonce("l1-9aa-18ea-5"), "l1-9aa-18ea-5");
  EXPECT_TRUE(has_nonce("l1-9aa-18ea-5-n77"));
  EXPECT_FALSE(has_nonce("l1-9aa-18ea-5-d803"));
  EXPECT_FALSE(has_nonce(""));
}

// ---- change_wire

std::string text(const std::optional<std::uint32_t>& number) { return number ? std::to_string(*number) : "-"; }
std::string text(const std::optional<SetAttributes::Time>& time) {
  return time ? (time->now ? "now/" : "at/") + std::to_string(time->ns) : "-";
}

// Every field of a change.
struct Describe {
  std::string operator()(const MakeDirectory& c) const { return "mkdir " + c.path + " " + std::to_string(c.mode); }
  std::string operator()(const MakeNode& c) const {
    return "mknod " + c.path + " " + std::to_string(c.mode) + " " + std::to_string(c.device);
  }
  std::string operator()(const MakeSymlink& c) const { return "symlink " + c.path + " " + c.target; }
  std::string operator()(const MakeLink& c) const { return "link " + c.path + " " + c.existing; }
  std::string operator()(const RemoveFile& c) const { return "unlink " + c.path; }
  std::string operator()(const RemoveDirectory& c) const { return "rmdir " + c.path; }
  std::string operator()(const Rename& c) const {
    return "rename " + c.from + " " + c.to + " " + std::to_string(static_cast<int>(c.target));
  }
  std::string operator()(const SetAttributes& c) const {
    return "set " + c.path + " " + text(c.mode) + " " + text(c.uid) + " " + text(c.gid) + " " + text(c.atime) + " " + text(c.mtime);
  }
  std::string operator()(const SetXattr& c) const {
    return "setxattr " + c.path + " " + c.name + " " + c.value + " " + std::to_string(static_cast<int>(c.presence));
  }
  std::string operator()(const RemoveXattr& c) const { return "removexattr " + c.path + " " + c.name; }
  std::string operator()(const SyncDirectory& c) const { return "sync " + c.path; }
  std::string operator()(const LookAgain& c) const { return "look " + c.path; }
};
std::string describe(const Change& change) { return std::visit(Describe{}, change); }

std::vector<Change> every_kind() {
  const std::string raw("/d\xff\n/x", 6);
  SetAttributes some{.path = raw, .mode = 0, .uid = {}, .gid = 7, .atime = {}, .mtime = SetAttributes::Time{.now = false, .ns = -1}};
  SetAttributes others{.path = raw, .mode = {}, .uid = 0, .gid = {}, .atime = SetAttributes::Time{.now = true, .ns = 0}, .mtime = {}};
  return {MakeDirectory{.path = raw, .mode = 01777},
          MakeNode{.path = raw, .mode = 0020644, .device = (1ULL << 40) + 3},
          MakeSymlink{.path = raw, .target = "../\xfe"},
          MakeLink{.path = raw, .existing = "/other"},
          RemoveFile{.path = raw},
          RemoveDirectory{.path = raw},
          Rename{.from = raw, .to = "/to", .target = Rename::Target::replace},
          Rename{.from = raw, .to = "/to", .target = Rename::Target::must_be_absent},
          Rename{.from = raw, .to = "/to", .target = Rename::Target::exchange},
          some,
          others,
          SetAttributes{.path = raw, .mode = {}, .uid = {}, .gid = {}, .atime = {}, .mtime = {}},
          SetXattr{.path = raw, .name = "user.a", .value = std::string("\0v", 2), .presence = SetXattr::Presence::any},
          SetXattr{.path = raw, .name = "user.a", .value = "", .presence = SetXattr::Presence::must_be_absent},
          SetXattr{.path = raw, .name = "user.a", .value = "v", .presence = SetXattr::Presence::must_be_present},
          RemoveXattr{.path = raw, .name = "user.b"},
          SyncDirectory{.path = raw},
          LookAgain{.path = raw}};
}

TEST(ChangeWire, EveryKindOfChangeArrivesAsItWasSent) {
  std::set<std::size_t> kinds;
  for (const Change& change : every_kind()) {
    kinds.insert(change.index());
    proto::ChangeRequest message;
    change_to_wire(change, message);
    proto::ChangeRequest received;
    ASSERT_TRUE(received.ParseFromString(message.SerializeAsString()));
    const Result<Change> back = change_from_wire(received);
    ASSERT_TRUE(back) << describe(change) << ": " << back.error().to_string();
    EXPECT_EQ(describe(*back), describe(change));
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<Change>) << "a kind of change is missing in every_kind()";
}

TEST(ChangeWire, KnowsWhichNamesAChangeIsAbout) {
  for (Change change : every_kind()) {
    EXPECT_EQ(path_of(std::as_const(change)), "/d\xff\n/x") << describe(change);
    const bool has_two = std::holds_alternative<Rename>(change) || std::holds_alternative<MakeLink>(change);
    ASSERT_EQ(other_path_of(std::as_const(change)) != nullptr, has_two) << describe(change);
    path_of(change) = "moved";
    if (has_two) *other_path_of(change) = "too";
    const std::string now = describe(change);
    EXPECT_NE(now.find(" moved"), std::string::npos) << now;
    EXPECT_EQ(now.find(" too") != std::string::npos, has_two) << now;
  }
}

TEST(ChangeWire, RefusesWhatThisBuildDoesNotKnow) {
  proto::ChangeRequest message;
  message.set_path("/a");
  EXPECT_EQ(change_from_wire(message).code(), Code::invalid_argument) << "no change";
  message.mutable_rename()->set_to("/b");
  message.mutable_rename()->set_target(static_cast<proto::ChangeRequest::Rename::Target>(3));
  EXPECT_EQ(change_from_wire(message).code(), Code::invalid_argument) << "a rename of another kind must not replace";
  message.mutable_set_xattr()->set_name("user.a");
  message.mutable_set_xattr()->set_presence(static_cast<proto::ChangeRequest::SetXattr::Presence>(3));
  EXPECT_EQ(change_from_wire(message).code(), Code::invalid_argument);
}

TEST(ChangeWire, BoundsExtendedAttributesAsTheKernelDoes) {
  proto::ChangeRequest message;
  auto& set = *message.mutable_set_xattr();
  set.set_name(std::string(255, 'n'));
  set.set_value(std::string(65536, 'v'));
  EXPECT_TRUE(change_from_wire(message));
  set.set_value(std::string(65537, 'v'));
  const Result<Change> large = change_from_wire(message);
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().error_number(), E2BIG);
  set.set_value("v");
  set.set_name(std::string(256, 'n'));
  const Result<Change> long_name = change_from_wire(message);
  ASSERT_FALSE(long_name);
  EXPECT_EQ(long_name.error().error_number(), ERANGE);
}

TEST(ChangeWire, CallersKeepTheirGroupsAndUmask) {
  const Caller caller{.uid = 4294967294U, .gid = 5, .groups = {7, 0, 65534}, .umask = 027};
  proto::Caller message;
  caller_to_wire(caller, message);
  const Result<Caller> back = caller_from_wire(message);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->uid, caller.uid);
  EXPECT_EQ(back->gid, caller.gid);
  EXPECT_EQ(back->groups, caller.groups);
  EXPECT_EQ(back->umask, caller.umask);
  message.set_umask(07027);
  EXPECT_EQ(caller_from_wire(message)->umask, 027U) << "only permission bits mask";
  while (message.groups_size() < 65536) message.add_groups(1);
  EXPECT_TRUE(caller_from_wire(message));
  message.add_groups(1);
  EXPECT_EQ(caller_from_wire(message).code(), Code::invalid_argument);
}

}  // namespace
}  // namespace hearth
