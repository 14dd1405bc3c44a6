// Notices of changes elsewhere: which nodes and names they concern, and how the kernel is made to drop them.
#include "fuse/change_notices.h"
#include "fuse/testing/fake_source.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

namespace hearth {
namespace {

using testing::FakeSource;
using Reach = ChangeNotice::Path::Reach;
using Drop = KernelCache::Drop;

ChangeNotice notice_of(const std::string& path, Reach reach = Reach::name) {
  ChangeNotice notice;
  notice.paths.push_back(ChangeNotice::Path{.path = path, .state = ChangeNotice::Path::State::there, .reach = reach});
  return notice;
}

FileStatus status_of(EntryType type, const std::string& version = "v") {
  FileStatus status;
  status.type = type;
  status.version = version;
  return status;
}

class ToldNodes : public ::testing::Test {
 protected:
  NodeId enter(NodeTable& table, NodeId parent, const std::string& name, EntryType type) {
    const auto node = table.enter(parent, name, status_of(type));
    EXPECT_TRUE(node);
    return *node;
  }
  static std::vector<NodeId> nodes(std::vector<NodeTable::Told> told) {
    std::vector<NodeId> out;
    for (const auto& one : told) out.push_back(one.node);
    std::sort(out.begin(), out.end());
    return out;
  }
};

TEST_F(ToldNodes, APathConcernsItsNodeAndATreeAllBelow) {
  NodeTable table("/", status_of(EntryType::directory));
  const NodeId a = enter(table, root_node, "a", EntryType::directory);
  const NodeId f = enter(table, a, "f", EntryType::regular);
  const NodeId b = enter(table, a, "b", EntryType::directory);
  const NodeId g = enter(table, b, "g", EntryType::regular);
  enter(table, root_node, "ab", EntryType::directory);
  EXPECT_EQ(nodes(table.tell("/a/f", Reach::name)), std::vector<NodeId>{f});
  EXPECT_EQ(nodes(table.tell("/a", Reach::name)), std::vector<NodeId>{a});
  EXPECT_EQ(nodes(table.tell("/a", Reach::tree)), (std::vector<NodeId>{a, f, b, g}));
  EXPECT_EQ(nodes(table.tell("/", Reach::name)), std::vector<NodeId>{root_node});
  EXPECT_EQ(table.tell("/", Reach::tree).size(), 6U);
  EXPECT_TRUE(table.tell("/a/unknown", Reach::tree).empty());
  EXPECT_TRUE(table.tell("/unknown/f", Reach::name).empty());
  EXPECT_EQ(table.tell_all().size(), 6U);
}

TEST_F(ToldNodes, AMountOfASubtreeTakesWhatLiesInIt) {
  NodeTable table("/a/b", status_of(EntryType::directory));
  const NodeId f = enter(table, root_node, "f", EntryType::regular);
  EXPECT_EQ(nodes(table.tell("/a/b/f", Reach::name)), std::vector<NodeId>{f});
  EXPECT_EQ(nodes(table.tell("/a/b", Reach::name)), std::vector<NodeId>{root_node});
  EXPECT_TRUE(table.tell("/a/bb", Reach::tree).empty());
  EXPECT_TRUE(table.tell("/f", Reach::name).empty());
  EXPECT_TRUE(table.tell("/a", Reach::name).empty());
  EXPECT_EQ(nodes(table.tell("/a", Reach::tree)), (std::vector<NodeId>{root_node, f})) << "what it lies in moved";
}

TEST_F(ToldNodes, ANameIsLookedUpAgainWhereTheNodeDoesNotTell) {
  NodeTable table("/", status_of(EntryType::directory));
  const NodeId f = enter(table, root_node, "f", EntryType::regular);
  EXPECT_TRUE(table.tell("/f", Reach::name).front().names.empty());
  ASSERT_TRUE(table.pin(f));
  const auto told = table.tell("/f", Reach::name);
  ASSERT_EQ(told.front().names.size(), 1U) << "an open node keeps its version, so its name has to be asked";
  EXPECT_EQ(told.front().names.front().parent, root_node);
  EXPECT_EQ(told.front().names.front().name, "f");
  table.unpin(f);
}

TEST_F(ToldNodes, ANodeIsInDoubtUntilAStatusConfirmsIt) {
  NodeTable table("/", status_of(EntryType::directory));
  const NodeId f = enter(table, root_node, "f", EntryType::regular);
  EXPECT_FALSE(table.was_told(f));
  table.tell("/f", Reach::name);
  EXPECT_TRUE(table.was_told(f));
  EXPECT_FALSE(table.refresh(f, status_of(EntryType::regular, "other")));
  EXPECT_TRUE(table.was_told(f)) << "it is another version";
  EXPECT_TRUE(table.refresh(f, status_of(EntryType::regular)));
  EXPECT_FALSE(table.was_told(f));
}

class NoBackingFiles final : public BackingFiles {
 public:
  Result<std::int32_t> add(int) override { return Error(Code::unsupported, "none here"); }
  void remove(std::int32_t) override {}
};

// A source that does something between asking and answering.
class MeddlingSource final : public Source {
 public:
  Result<FileStatus> stat(const std::string& path) override {
    auto status = files.stat(path);
    if (meddle) meddle();
    return status;
  }
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override {
    return files.list(path, after, limit);
  }
  Result<std::shared_ptr<SourceFile>> open(const std::string& path) override { return files.open(path); }
  void forget(const std::string&) override {}
  Result<std::string> locations(const std::string& path) override { return files.locations(path); }
  Result<Capacity> capacity(const std::string& path) override { return files.capacity(path); }
  Result<std::vector<std::string>> store_uris() override { return files.store_uris(); }

  FakeSource files;
  std::function<void()> meddle;
};

class RecordingKernel final : public KernelCache {
 public:
  void drop(NodeId node, Drop what) override {
    const std::lock_guard lock(mutex_);
    dropped_.emplace_back(node, what);
  }
  void expire(NodeId, const std::string& name) override {
    if (blocked) may_expire.acquire();
    const std::lock_guard lock(mutex_);
    expired_.push_back(name);
  }
  std::vector<std::pair<NodeId, Drop>> dropped() {
    const std::lock_guard lock(mutex_);
    return dropped_;
  }
  std::vector<std::string> expired() {
    const std::lock_guard lock(mutex_);
    return expired_;
  }

  std::atomic<bool> blocked{false};
  std::counting_semaphore<> may_expire{0};

 private:
  std::mutex mutex_;
  std::vector<std::pair<NodeId, Drop>> dropped_;
  std::vector<std::string> expired_;
};

class ToldMount : public ::testing::Test {
 protected:
  void SetUp() override {
    source_.files.set_ttl(std::chrono::hours(1));
    source_.files.put_file("/f", 10);
    source_.files.put_symlink("/l", "f");
    files_ = std::make_unique<FileSystem>(options_, source_, backing_, *source_.stat("/"));
  }
  // Returns when the notice was acted on.
  void tell(ChangeNotices& notices, const ChangeNotice& notice) {
    std::binary_semaphore acted{0};
    notices.tell(notice, [&acted] { acted.release(); });
    acted.acquire();
  }

  MountOptions options_;
  MeddlingSource source_;
  NoBackingFiles backing_;
  RecordingKernel kernel_;
  std::unique_ptr<FileSystem> files_;
};

TEST_F(ToldMount, AttributesAreDroppedBeforeANoticeIsActedOn) {
  const NodeId node = files_->lookup(root_node, "f")->node;
  const NodeId link = files_->lookup(root_node, "l")->node;
  ChangeNotices notices(*files_, kernel_, source_);
  tell(notices, notice_of("/f"));
  ASSERT_GE(kernel_.dropped().size(), 1U);
  EXPECT_EQ(kernel_.dropped().front(), (std::pair(node, Drop::attributes))) << "pages of a version are never wrong";
  tell(notices, notice_of("/l"));
  const auto dropped = kernel_.dropped();
  EXPECT_GE(std::count(dropped.begin(), dropped.end(), std::pair(link, Drop::pages)), 1) << "where it leads lies in a page";
  EXPECT_TRUE(kernel_.expired().empty());
}

TEST_F(ToldMount, ANoticeIsRepeatedForNodesThatTheKernelMayHaveBeenAboutToTakeIn) {
  const NodeId node = files_->lookup(root_node, "f")->node;
  const auto everything = ChangeNotice{.scope = ChangeNotice::Scope::everything, .paths = {}};
  for (const ChangeNotice& notice : {notice_of("/f"), everything}) {
    const auto again = files_->told_again(notice, TimePoint::min()).nodes;
    EXPECT_EQ(std::count(again.begin(), again.end(), std::pair(node, Drop::attributes)), 1);
    EXPECT_TRUE(files_->told_again(notice, real_clock().now() + std::chrono::hours(1)).nodes.empty());
  }
}

TEST_F(ToldMount, ANameThatIsOpenIsExpiredAndAStuckDirectoryHoldsUpNobody) {
  const NodeId node = files_->lookup(root_node, "f")->node;
  ASSERT_TRUE(files_->nodes().pin(node));
  ChangeNotices notices(*files_, kernel_, source_);
  tell(notices, notice_of("/f"));
  EXPECT_EQ(kernel_.expired().front(), "f") << "before the notice was acted on";
  kernel_.blocked = true;
  for (int i = 0; i < 20; ++i) tell(notices, notice_of("/f"));
  tell(notices, notice_of("/l"));
  kernel_.blocked = false;
  kernel_.may_expire.release(1000);
  notices.stop();
  files_->nodes().unpin(node);
}

TEST_F(ToldMount, ARootThatTheKernelHasNotAskedForHasNothingToDrop) {
  EXPECT_TRUE(files_->told(notice_of("/")).nodes.empty());
  ASSERT_TRUE(files_->attributes(root_node));
  EXPECT_EQ(files_->told(notice_of("/")).nodes.size(), 1U);
}

TEST_F(ToldMount, ANoticeAfterTheEndIsActedOnByDoingNothing) {
  static_cast<void>(files_->lookup(root_node, "f"));
  ChangeNotices notices(*files_, kernel_, source_);
  notices.stop();
  tell(notices, notice_of("/f"));
  EXPECT_TRUE(kernel_.dropped().empty());
}

TEST_F(ToldMount, AnAnswerFromBeforeANoticeIsNotKept) {
  EXPECT_GT(files_->lookup(root_node, "f")->entry_timeout, Duration::zero());
  source_.meddle = [this] { files_->told(notice_of("/f")); };
  const auto entry = files_->lookup(root_node, "f");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->entry_timeout, Duration::zero());
  EXPECT_EQ(entry->attr_timeout, Duration::zero());
  source_.meddle = nullptr;
  EXPECT_GT(files_->lookup(root_node, "f")->entry_timeout, Duration::zero());

  const auto directory = files_->opendir(root_node);
  ASSERT_TRUE(directory);
  const DirectoryItem item{.name = "f", .status = *source_.stat("/f")};
  EXPECT_GT(files_->entry_of(**directory, item)->attr_timeout, Duration::zero());
  files_->told(notice_of("/f"));
  EXPECT_EQ(files_->entry_of(**directory, item)->attr_timeout, Duration::zero()) << "the listing is of before";
  files_->releasedir(**directory);
}

TEST_F(ToldMount, WhatAnOpenNodeIsAskedForAfterANoticeIsStaleIfItIsAnotherFile) {
  const NodeId link = files_->lookup(root_node, "l")->node;
  source_.files.put_symlink("/l", "elsewhere");
  EXPECT_EQ(*files_->readlink(link), "f") << "nobody said so yet";
  files_->told(notice_of("/l"));
  EXPECT_EQ(files_->readlink(link).code(), Code::stale);
  const NodeId again = files_->lookup(root_node, "l")->node;
  EXPECT_EQ(*files_->readlink(again), "elsewhere");
}

}  // namespace
}  // namespace hearth
