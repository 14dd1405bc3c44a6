// Uploads to HDFS in pieces, what is left when one fails, and attributes.
#include "understore/hdfs/hdfs_store.h"
#include "understore/hdfs/webhdfs_double.h"
#include "understore/staged_conformance.h"

#include <pwd.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace hearth::hdfs {
namespace {

using Replaces = StagedContent::Replaces;

class HdfsUpload : public ::testing::Test {
 protected:
  HdfsUpload() {
    server_.edit([](DoubleTree& tree) { tree.make_directories("/data", 0755); });
    const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
    auto opened = open_hdfs_store("hdfs://cluster/data", {{"http_address", server_.http_address()}, {"user", "hearth"}}, context);
    EXPECT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(opened).value();
  }
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }
  Result<ObjectInfo> upload(const std::string& path, const std::string& content, Replaces replaces = Replaces::anything) {
    const UniqueFd fd = staged_file(content);
    return run_task(store_->upload(path, {.fd = fd.get(), .length_bytes = content.size(), .replaces = replaces}, soon()));
  }
  Result<ChangeResult> change(Change what) { return run_task(store_->change(std::move(what), Caller(), soon())); }
  std::string content(const std::string& path) {
    std::string found = "(missing)";
    server_.edit([&](DoubleTree& tree) {
      if (const auto node = tree.find(path)) found = node->content;
    });
    return found;
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    server_.edit([&](DoubleTree& tree) {
      for (const auto& [name, node] : tree.find("/data")->children) names.push_back(name);
    });
    return names;
  }
  std::size_t requests(const std::string& operation) {
    const auto log = server_.datanode_log();
    return static_cast<std::size_t>(std::count_if(log.begin(), log.end(), [&](const TestRequest& each) {
      return each.query().find("op=" + operation + "&") != std::string_view::npos;
    }));
  }

  WebHdfsDouble server_;
  BlockingPool pool_{1, 100};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
  std::shared_ptr<UnderStore> store_;
};

TEST_F(HdfsUpload, LargeFilesArriveInPieces) {
  const std::string all = content_of_length(2 * hdfs_upload_piece_bytes + 1);
  for (const std::uint64_t length : {hdfs_upload_piece_bytes - 1, hdfs_upload_piece_bytes, hdfs_upload_piece_bytes + 1, 2 * hdfs_upload_piece_bytes + 1}) {
    const auto info = upload("f", all.substr(0, length));
    ASSERT_TRUE(info) << length << ": " << info.error().to_string();
    EXPECT_EQ(info->length_bytes, length);
    EXPECT_EQ(run_task(store_->stat("f", soon()))->version, info->version);
    EXPECT_TRUE(content("/data/f") == all.substr(0, length)) << length;
  }
  EXPECT_EQ(requests("CREATE"), 4U);
  EXPECT_EQ(requests("APPEND"), 0U + 0 + 1 + 2);
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(HdfsUpload, AFailureInTheMiddleLeavesTheOldFileAndNoOther) {
  server_.put("/data/f", "as it was");
  for (const char* operation : {"CREATE", "APPEND", "RENAME"}) {
    server_.on_request([operation](const DoubleRequest& request) -> std::optional<TestReply> {
      const bool at_the_end = request.role == DoubleRequest::Role::datanode || request.operation == "RENAME";
      if (request.operation != operation || !at_the_end) return std::nullopt;
      return WebHdfsDouble::exception({.status = 403, .name = "IOException", .class_name = "java.io.IOException", .message = "as scripted"});
    });
    EXPECT_FALSE(upload("f", content_of_length(hdfs_upload_piece_bytes + 1))) << operation;
    EXPECT_EQ(content("/data/f"), "as it was") << operation;
    EXPECT_EQ(names(), std::vector<std::string>{"f"}) << operation;
  }
}

TEST_F(HdfsUpload, ALengthThatIsNotWhatWasSentIsNotBelieved) {
  server_.put("/data/f", "as it was");
  server_.on_request([this](const DoubleRequest& request) -> std::optional<TestReply> {
    const bool temporary = request.path.find(".hearth-") != std::string::npos;
    if (request.operation == "GETFILESTATUS" && temporary) server_.edit([&](DoubleTree& tree) { tree.append(request.path, "x"); });
    return std::nullopt;
  });
  EXPECT_EQ(upload("f", "new").code(), Code::corrupt);
  EXPECT_EQ(content("/data/f"), "as it was");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

// Story: somebody makes the file after it was looked for and before the rename.
TEST_F(HdfsUpload, WhoeverMakesTheFileFirstHasIt) {
  server_.on_request([this](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation == "RENAME") server_.put("/data/f", "somebody else's");
    return std::nullopt;
  });
  const auto refused = upload("f", "mine", Replaces::nothing);
  EXPECT_EQ(refused.code(), Code::already_exists) << refused.error().to_string();
  EXPECT_EQ(content("/data/f"), "somebody else's");
  EXPECT_EQ(names(), std::vector<std::string>{"f"});
}

TEST_F(HdfsUpload, ARenameToANewNameReplacesNothing) {
  server_.put("/data/g", "mine");
  server_.on_request([this](const DoubleRequest& request) -> std::optional<TestReply> {
    if (request.operation == "RENAME") server_.put("/data/f", "somebody else's");
    return std::nullopt;
  });
  EXPECT_EQ(change(Rename{.from = "g", .to = "f", .target = Rename::Target::must_be_absent}).code(), Code::already_exists);
  EXPECT_EQ(content("/data/f"), "somebody else's");
  EXPECT_EQ(content("/data/g"), "mine");
}

TEST_F(HdfsUpload, KeepsTheModeOfWhatItReplaces) {
  ASSERT_TRUE(change(MakeNode{.path = "f", .mode = S_IFREG | 0600}));
  EXPECT_EQ(run_task(store_->stat("f", soon()))->mode, 0600U);
  const auto info = upload("f", "new");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->mode, 0600U);
  EXPECT_EQ(run_task(store_->stat("f", soon()))->mode, 0600U);
}

TEST_F(HdfsUpload, KeepsModesAndTimes) {
  server_.put("/data/f", "x");
  const std::int64_t when_ns = 1'700'000'000'123'000'000;
  const auto set = change(SetAttributes{.path = "f", .mode = 01750, .mtime = SetAttributes::Time{.now = false, .ns = when_ns + 456}});
  ASSERT_TRUE(set) << set.error().to_string();
  EXPECT_EQ(set->touched.front().now->mode, 01750U);
  EXPECT_EQ(set->touched.front().now->mtime_ns, when_ns) << "whole milliseconds";
  ASSERT_TRUE(change(SetAttributes{.path = "f", .mtime = SetAttributes::Time{.now = true}}));
  EXPECT_GT(run_task(store_->stat("f", soon()))->mtime_ns, when_ns);
}

class HdfsOwners : public HdfsUpload {
 protected:
  // One that every Debian has.
  const passwd& daemon_ = *::getpwnam("daemon");
  const std::uint32_t unnamed_ = 3'999'999'999;

  std::pair<std::string, std::string> owner_of(const std::string& path) {
    std::pair<std::string, std::string> found;
    server_.edit([&](DoubleTree& tree) { found = {tree.find(path)->owner, tree.find(path)->group}; });
    return found;
  }
};

TEST_F(HdfsOwners, AreTheNumbersThatThisHostGivesTheirNames) {
  server_.put("/data/f", "x");
  EXPECT_EQ(run_task(store_->stat("f", soon()))->uid, ::geteuid()) << "nobody here is called hdfs";
  server_.edit([&](DoubleTree& tree) {
    tree.find("/data/f")->owner = "daemon";
    tree.find("/data/f")->group = "daemon";
  });
  const auto info = run_task(store_->stat("f", soon()));
  EXPECT_EQ(info->uid, daemon_.pw_uid);
  EXPECT_EQ(info->gid, daemon_.pw_gid);
  auto listing = run_task(store_->list("", soon()));
  ASSERT_TRUE(listing);
  const auto entries = run_task((*listing)->next(10, soon()));
  ASSERT_EQ(entries->size(), 1U);
  EXPECT_EQ(entries->front().uid, daemon_.pw_uid);
  EXPECT_EQ(entries->front().gid, daemon_.pw_gid);
}

TEST_F(HdfsOwners, AreGivenByName) {
  server_.put("/data/f", "x");
  const auto given = change(SetAttributes{.path = "f", .uid = daemon_.pw_uid});
  ASSERT_TRUE(given) << given.error().to_string();
  EXPECT_EQ(given->touched.front().now->uid, daemon_.pw_uid);
  EXPECT_EQ(owner_of("/data/f"), std::pair(std::string("daemon"), std::string("supergroup")));
  ASSERT_TRUE(change(SetAttributes{.path = "f", .gid = daemon_.pw_gid}));
  EXPECT_EQ(owner_of("/data/f"), std::pair(std::string("daemon"), std::string("daemon")));
}

TEST_F(HdfsOwners, WithoutANameAreRefusedAndNothingIsChanged) {
  server_.put("/data/f", "x");
  const auto given = change(SetAttributes{.path = "f", .mode = 0600, .uid = unnamed_});
  ASSERT_EQ(given.code(), Code::permission_denied);
  EXPECT_EQ(given.error().error_number(), EPERM);
  EXPECT_NE(given.error().message().find("has none for user 3999999999"), std::string::npos) << given.error().message();
  EXPECT_EQ(run_task(store_->stat("f", soon()))->mode, 0644U);
}

TEST_F(HdfsOwners, OfWhatIsMadeAreItsMakers) {
  const Caller caller{.uid = daemon_.pw_uid, .gid = daemon_.pw_gid, .groups = {}, .umask = 0};
  ASSERT_TRUE(run_task(store_->change(MakeDirectory{.path = "d", .mode = 0700}, caller, soon())));
  EXPECT_EQ(owner_of("/data/d"), std::pair(std::string("daemon"), std::string("daemon")));
  Caller stranger = caller;
  stranger.uid = unnamed_;
  const auto made = run_task(store_->change(MakeDirectory{.path = "e", .mode = 0700}, stranger, soon()));
  ASSERT_TRUE(made) << "nobody can own it by name, but it is there: " << made.error().to_string();
}

TEST_F(HdfsOwners, AreOfOneNumberWhereTheAttachmentSaysSo) {
  const StoreContext context{.pool = pool_, .clock = real_clock(), .http = http_.get()};
  const auto fixed = open_hdfs_store("hdfs://cluster/data", {{"http_address", server_.http_address()}, {"user", "hearth"}, {"uid", "77"}, {"gid", "78"}}, context);
  ASSERT_TRUE(fixed);
  server_.put("/data/f", "x");
  server_.edit([&](DoubleTree& tree) { tree.find("/data/f")->owner = "daemon"; });
  const auto info = run_task((*fixed)->stat("f", soon()));
  EXPECT_EQ(info->uid, 77U);
  EXPECT_EQ(info->gid, 78U);
  EXPECT_EQ(run_task((*fixed)->change(SetAttributes{.path = "f", .uid = daemon_.pw_uid}, Caller(), soon())).code(), Code::permission_denied);
}

}  // namespace
}  // namespace hearth::hdfs
