// Changes and files opened in place, against a real master and worker in one process.
#include "tests/support/in_process_cluster.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::testing {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
Caller self() { return {.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022}; }
Change make_file(const std::string& path) { return MakeNode{.path = path, .mode = S_IFREG | 0644, .device = 0}; }

class Writing : public ::testing::Test {
 protected:
  // So long that a test which waits for it fails; what it sees before, it sees because of a change.
  static constexpr milliseconds never{3'600'000};

  void start(milliseconds ttl = never, std::size_t workers = 1) {
    cluster_ = std::make_unique<InProcessCluster>(InProcessClusterOptions{.workers = workers});
    ASSERT_TRUE(cluster_->start());
    AttachmentOptions attachment;
    attachment.metadata_ttl = ttl;
    ASSERT_TRUE(cluster_->attach("/data", attachment));
  }
  Client connect() const {
    auto client = cluster_->connect();
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  // A file that changed less than 20 ms ago (understore/local_object.h) may be said to be stale: then it is opened again.
  static std::string content(const Client& client, const std::string& path) {
    auto read = client.read_file(path);
    return read ? *read : read.error().to_string();
  }
  static std::vector<std::string> names(const Client& client, const std::string& path) {
    auto page = client.list(path);
    if (!page) return {page.error().to_string()};
    std::vector<std::string> out;
    for (const DirectoryItem& item : page->items) out.push_back(item.name);
    return out;
  }
  static Code change(const Client& client, const Change& wanted) {
    const auto done = client.change(wanted, self());
    return done ? Code::ok : done.code();
  }
  static WritableFile open(const Client& client, OpenForWriting how) {
    auto file = client.open_for_writing(how, self());
    EXPECT_TRUE(file) << file.error().to_string();
    return file ? *file : WritableFile();
  }
  static WritableFile create(const Client& client, const std::string& path, std::string_view text) {
    WritableFile file = open(client, {.path = path, .create = true, .mode = 0644});
    EXPECT_TRUE(file.pwrite(bytes(text), 0));
    return file;
  }
  std::filesystem::path on_disk(const std::string& name) const { return cluster_->store_directory() / name; }

  std::unique_ptr<InProcessCluster> cluster_;
};

using Names = std::vector<std::string>;

TEST_F(Writing, AChangeIsSeenByTheSameClientAtOnce) {
  start();
  const Client client = connect();
  ASSERT_EQ(client.stat("/data/f").code(), Code::not_found);
  ASSERT_EQ(names(client, "/data"), Names{});
  const auto made = client.change(make_file("/data/f"), self());
  ASSERT_TRUE(made) << made.error().to_string();
  ASSERT_TRUE(made->status);
  EXPECT_TRUE(made->status->writable);
  EXPECT_EQ(made->version_before, "");
  EXPECT_EQ(client.stat("/data/f")->version, made->status->version);
  EXPECT_EQ(names(client, "/data"), Names{"f"});

  ASSERT_EQ(change(client, SetAttributes{.path = "/data/f", .mode = 0600, .uid = {}, .gid = {}, .atime = {}, .mtime = {}}), Code::ok);
  EXPECT_EQ(client.stat("/data/f")->mode, 0600U);
  ASSERT_EQ(change(client, MakeLink{.path = "/data/g", .existing = "/data/f"}), Code::ok);
  EXPECT_EQ(client.stat("/data/f")->link_count, 2U) << "what was cached of the existing name is wrong, too";
  ASSERT_TRUE(client.stat("/data/g"));

  const auto renamed = client.change(Rename{.from = "/data/f", .to = "/data/h", .target = Rename::Target::replace}, self());
  ASSERT_TRUE(renamed);
  EXPECT_FALSE(renamed->version_before.empty());
  EXPECT_EQ(client.stat("/data/f").code(), Code::not_found);
  EXPECT_TRUE(client.stat("/data/h"));
  const auto removed = client.change(RemoveFile{.path = "/data/h"}, self());
  ASSERT_TRUE(removed);
  EXPECT_FALSE(removed->status);
  EXPECT_EQ(client.stat("/data/h").code(), Code::not_found);
  EXPECT_EQ(names(client, "/data"), Names{"g"});
}

TEST_F(Writing, WhatIsBelowARenamedDirectoryIsForgottenWithIt) {
  start();
  const Client client = connect();
  for (const std::string path : {"/data/d", "/data/d/e"}) ASSERT_EQ(change(client, MakeDirectory{.path = path, .mode = 0755}), Code::ok);
  ASSERT_EQ(change(client, make_file("/data/d/e/f")), Code::ok);
  ASSERT_TRUE(client.stat("/data/d/e/f"));
  ASSERT_EQ(client.stat("/data/x/e/f").code(), Code::not_found);
  ASSERT_EQ(change(client, Rename{.from = "/data/d", .to = "/data/x", .target = Rename::Target::replace}), Code::ok);
  EXPECT_EQ(client.stat("/data/d/e/f").code(), Code::not_found);
  EXPECT_TRUE(client.stat("/data/x/e/f"));
}

TEST_F(Writing, ErrorsOfTheStoreKeepTheirErrnoOnTheWay) {
  start();
  const Client client = connect();
  ASSERT_EQ(change(client, MakeDirectory{.path = "/data/d", .mode = 0755}), Code::ok);
  ASSERT_EQ(change(client, make_file("/data/d/f")), Code::ok);
  const auto link = client.change(MakeLink{.path = "/data/l", .existing = "/data/d"}, self());
  ASSERT_FALSE(link);
  EXPECT_EQ(link.error().error_number(), EPERM);
  EXPECT_EQ(change(client, RemoveDirectory{.path = "/data/d"}), Code::not_empty);
  EXPECT_EQ(change(client, MakeDirectory{.path = "/new", .mode = 0755}), Code::read_only) << "above all attachments";
  EXPECT_EQ(change(client, MakeDirectory{.path = "/data/../x", .mode = 0755}), Code::invalid_argument);
  EXPECT_EQ(change(client, Rename{.from = "/data/d", .to = "relative", .target = Rename::Target::replace}), Code::invalid_argument);
  const auto attribute = client.xattr("/data/d/f", "user.none", self());
  ASSERT_FALSE(attribute);
  EXPECT_EQ(attribute.error().error_number(), ENODATA);
  const auto set = client.change(SetXattr{.path = "/data/d/f", .name = "user.a", .value = "v", .presence = SetXattr::Presence::any}, self());
  if (!set && set.error().error_number() == EOPNOTSUPP) return;  // a file system without them
  ASSERT_TRUE(set);
  EXPECT_EQ(*client.xattr("/data/d/f", "user.a", self()), "v");
  EXPECT_EQ(*client.xattr_names("/data/d/f", self()), Names{"user.a"});
}

TEST_F(Writing, WhatWasWrittenInPlaceIsReadThroughTheCacheAfterClose) {
  start();
  const Client client = connect();
  WritableFile file = create(client, "/data/f", "first words");
  EXPECT_TRUE(file.is_new());
  ASSERT_TRUE(file.sync());
  const auto closed = file.close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(closed->length_bytes, 11U);
  EXPECT_EQ(file.fd(), -1);
  EXPECT_EQ(file.close().code(), Code::invalid_argument) << "closed once";
  ASSERT_EQ(content(client, "/data/f"), "first words");
  ASSERT_EQ(content(client, "/data/f"), "first words") << "and from the cache";

  file = open(client, {.path = "/data/f"});
  EXPECT_FALSE(file.is_new());
  EXPECT_EQ(file.version().substr(0, 3), "l1-");
  ASSERT_TRUE(file.pwrite(bytes("WORDS"), 6));
  ASSERT_TRUE(file.append(bytes(" more")));
  EXPECT_EQ(std::filesystem::file_size(on_disk("f")), 16U) << "it is in the store when the call returns";
  std::string back(5, '?');
  EXPECT_EQ(*file.pread(std::as_writable_bytes(std::span(back)), 11), 5U);
  EXPECT_EQ(back, " more");
  EXPECT_EQ(*file.pread(std::as_writable_bytes(std::span(back)), 14), 2U) << "short at the end";
  const auto changed = file.close();
  ASSERT_TRUE(changed);
  EXPECT_NE(changed->version, closed->version);
  EXPECT_EQ(content(client, "/data/f"), "first WORDS more");

  file = open(client, {.path = "/data/f"});
  ASSERT_TRUE(file.truncate(5));
  ASSERT_TRUE(file.close());
  EXPECT_EQ(content(client, "/data/f"), "first");
  EXPECT_TRUE(open(client, {.path = "/data/f", .truncate = true}).close());
  EXPECT_EQ(content(client, "/data/f"), "");
}

// Same length, same name: only the version tells, and the old bytes are cached.
TEST_F(Writing, NoByteOfTheOldContentIsReadAfterEachOfManyRewrites) {
  start();
  const Client client = connect();
  ASSERT_TRUE(create(client, "/data/f", std::string(200'000, 'a')).close());
  for (char letter = 'b'; letter < 'm'; ++letter) {
    const std::string text(200'000, letter);
    WritableFile file = open(client, {.path = "/data/f"});
    ASSERT_TRUE(file.pwrite(bytes(text), 0));
    ASSERT_TRUE(file.close());
    ASSERT_TRUE(content(client, "/data/f") == text) << letter;
  }
}

TEST_F(Writing, OpensAsTheyAreAskedTo) {
  start();
  const Client client = connect();
  EXPECT_EQ(client.open_for_writing({.path = "/data/f"}, self()).code(), Code::not_found);
  ASSERT_EQ(client.stat("/data/f").code(), Code::not_found);
  WritableFile made = open(client, {.path = "/data/f", .create = true, .mode = 0666});
  ASSERT_EQ(change(client, LookAgain{.path = "/data/f"}), Code::ok);
  ASSERT_TRUE(client.stat("/data/f")) << "there before it is closed, for who looks again";
  EXPECT_EQ(client.stat("/data/f")->mode, 0644U) << "with the caller's umask";
  EXPECT_EQ(client.open_for_writing({.path = "/data/f", .create = true, .exclusive = true}, self()).code(), Code::already_exists);
  EXPECT_FALSE(open(client, {.path = "/data/f", .create = true}).is_new());
  WritableFile reading = open(client, {.path = "/data/f", .read_only = true});
  const Status refused = reading.pwrite(bytes("x"), 0);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error_number(), EBADF);
  EXPECT_EQ(client.open_for_writing({.path = "/data"}, self()).code(), Code::is_directory);
  EXPECT_EQ(client.open_for_writing({.path = "relative"}, self()).code(), Code::invalid_argument);
  ASSERT_EQ(change(client, RemoveFile{.path = "/data/f"}), Code::ok);
  EXPECT_EQ(made.close().code(), Code::not_found) << "it was removed meanwhile";
}

TEST_F(Writing, AStableCloseSyncsAndOneThatFailsLeavesTheFileOpen) {
  start();
  const Client client = connect();
  WritableFile file = create(client, "/data/f", "stable");
  const WritableFile copy = file;
  const auto closed = file.close(Durability::stable);
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(closed->length_bytes, 6U);
  EXPECT_EQ(copy.fd(), -1);
  EXPECT_EQ(copy.pwrite(bytes("x"), 0).code(), Code::invalid_argument) << "copies are the same file";
  file = open(client, {.path = "/data/f"});
  ASSERT_EQ(change(client, RemoveFile{.path = "/data/f"}), Code::ok);
  EXPECT_EQ(file.close(Durability::stable).code(), Code::not_found);
  ASSERT_TRUE(file.usable());
  cluster_->kill_master();
  EXPECT_FALSE(file.close());
  EXPECT_TRUE(file.pwrite(bytes("y"), 0)) << "still open";
  EXPECT_FALSE(file.abort()) << "the master could not be told";
  EXPECT_FALSE(file.usable());
}

TEST_F(Writing, AnAbortLeavesWhatWasWrittenInPlaceAndTellsTheMaster) {
  start();
  const Client client = connect();
  ASSERT_TRUE(create(client, "/data/f", "before").close());
  ASSERT_EQ(content(client, "/data/f"), "before");
  WritableFile file = open(client, {.path = "/data/f"});
  ASSERT_TRUE(file.pwrite(bytes("AFTER!"), 0));
  ASSERT_TRUE(file.abort());
  EXPECT_EQ(content(client, "/data/f"), "AFTER!");
  EXPECT_EQ(file.abort().code(), Code::invalid_argument);
  EXPECT_EQ(file.close().code(), Code::invalid_argument);
}

TEST_F(Writing, WhatIsWrittenToTheDescriptorItselfIsToldAtClose) {
  start();
  const Client client = connect();
  ASSERT_TRUE(create(client, "/data/f", "told").close());
  WritableFile file = open(client, {.path = "/data/f"});
  EXPECT_FALSE(file.is_staged());
  EXPECT_EQ(file.publish().code(), Code::invalid_argument) << "it is written in place";
  ASSERT_GE(file.fd(), 0);
  EXPECT_EQ(::fcntl(file.fd(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
  EXPECT_EQ(::pwrite(file.fd(), "more..", 6, 0), 6);
  EXPECT_EQ(client.stat("/data/f")->length_bytes, 4U) << "within the TTL";
  ASSERT_TRUE(file.close());
  EXPECT_EQ(file.fd(), -1);
  EXPECT_EQ(content(client, "/data/f"), "more..");
}

TEST_F(Writing, AnotherClientSeesItWithinTheTtl) {
  constexpr milliseconds ttl{300};
  start(ttl);
  const Client writer = connect();
  const Client reader = connect();
  ASSERT_TRUE(create(writer, "/data/f", "old").close());
  ASSERT_EQ(content(reader, "/data/f"), "old");
  WritableFile file = open(writer, {.path = "/data/f"});
  ASSERT_TRUE(file.pwrite(bytes("new"), 0));
  ASSERT_TRUE(file.close());
  const auto closed = Clock::now();
  // The last question that may still be answered with the old bytes begins before closed + ttl.
  for (;;) {
    const auto asked = Clock::now();
    const std::string now = content(reader, "/data/f");
    if (now == "new") break;
    ASSERT_EQ(now, "old");
    ASSERT_LT(asked, closed + ttl);
  }
  EXPECT_EQ(content(reader, "/data/f"), "new") << "and never the old bytes again";
}

TEST_F(Writing, NeedsAWorkerOfThisHost) {
  start(never, 0);
  const Client client = connect();
  ASSERT_EQ(change(client, make_file("/data/f")), Code::ok) << "changes of the tree need none";
  EXPECT_EQ(client.open_for_writing({.path = "/data/f"}, self()).code(), Code::unsupported);
}

TEST_F(Writing, ReadOnlyAttachmentsOpenForReadingOnly) {
  start();
  AttachmentOptions frozen;
  frozen.read_only = true;
  std::ofstream(on_disk("f")) << "text";
  ASSERT_TRUE(cluster_->attach("/frozen", frozen));
  const Client client = connect();
  EXPECT_FALSE(client.stat("/frozen/f")->writable);
  const auto refused = client.open_for_writing({.path = "/frozen/f"}, self());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().error_number(), EROFS);
  EXPECT_EQ(change(client, RemoveFile{.path = "/frozen/f"}), Code::read_only);
  EXPECT_TRUE(client.open_for_writing({.path = "/frozen/f", .read_only = true}, self()));
}

}  // namespace
}  // namespace hearth::testing
