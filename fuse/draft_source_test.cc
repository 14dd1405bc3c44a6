#include "fuse/draft_source.h"

#include "common/change_wire.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hearth {
namespace {

// A store that takes objects whole: names and their content, directories are implied by "/d/".
class ObjectSource final : public Source {
 public:
  explicit ObjectSource(std::map<std::string, std::string>& objects) : objects_(objects) {}

  Result<FileStatus> stat(const std::string& path) override {
    FileStatus status;
    status.writable = true;
    if (path == "/" || objects_.contains(path + "/")) {
      status.type = EntryType::directory;
      status.mode = path == "/shared" ? 02777 : 0755;
      status.gid = path == "/shared" ? 77 : 0;
      return status;
    }
    const auto found = objects_.find(path);
    if (found == objects_.end()) return Error(Code::not_found, path).with_error_number(ENOENT);
    status.mode = 0640;
    status.mtime_ns = 5'000'000'007;
    status.version = "of-" + found->second;
    return status;
  }
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override {
    DirectoryPage page;
    const std::string prefix = path == "/" ? path : path + "/";
    for (const auto& [object, content] : objects_) {
      const std::string name = object.starts_with(prefix) ? object.substr(prefix.size()) : "";
      if (name.empty() || name.find('/') != std::string::npos || name <= after) continue;
      if (page.items.size() == limit) {
        page.more = true;
        break;
      }
      page.items.push_back({.name = name, .status = *stat(object)});
    }
    return page;
  }
  Result<std::shared_ptr<SourceFile>> open(const std::string&) override { return Error(Code::unsupported, "open"); }
  void forget(const std::string&) override {}
  Result<std::string> locations(const std::string&) override { return std::string(); }
  Result<Capacity> capacity(const std::string&) override { return Capacity(); }
  Result<std::vector<std::string>> store_uris() override { return std::vector<std::string>(); }
  Result<Changed> change(const Change& change, const Caller&) override {
    const std::string& path = path_of(change);
    if (std::holds_alternative<RemoveFile>(change) && objects_.erase(path) == 0) return Error(Code::not_found, path);
    if (const auto* moved = std::get_if<Rename>(&change)) {
      std::map<std::string, std::string> after;
      for (const auto& [object, content] : objects_) {
        const bool goes = object == moved->from || object.starts_with(moved->from + "/");
        after[goes ? moved->to + object.substr(moved->from.size()) : object] = content;
      }
      objects_ = std::move(after);
    }
    return Changed();
  }
  Result<OpenedInPlace> open_in_place(const OpenForWriting& how, const Caller&) override {
    OpenedInPlace opened;
    opened.fd = UniqueFd(::memfd_create("staged", MFD_CLOEXEC));
    opened.is_new = !objects_.contains(how.path);
    opened.publish = [this](const std::string& path) -> Result<FileStatus> {
      objects_[path] = "published";
      return stat(path);
    };
    return opened;
  }

 private:
  std::map<std::string, std::string>& objects_;
};

class Drafts : public ::testing::Test {
 protected:
  Result<OpenedInPlace> create(const std::string& path, bool exclusive = false) {
    return source_.open_in_place({.path = path, .create = true, .exclusive = exclusive, .mode = 0666}, me_);
  }
  int errno_of(const Change& change) {
    const auto done = source_.change(change, me_);
    return done ? 0 : done.error().error_number();
  }
  std::string names(const std::string& path, const std::string& after = "", std::size_t limit = 100) {
    std::string text;
    const auto page = source_.list(path, after, limit);
    if (!page) return page.error().to_string();
    for (const DirectoryItem& item : page->items) text += item.name + " ";
    return text;
  }

  std::map<std::string, std::string> objects_{{"/b", "1"}, {"/d", "1"}, {"/dir/", ""}, {"/f", "1"}, {"/shared/", ""}};
  DraftSource source_{std::make_unique<ObjectSource>(objects_)};
  const Caller me_{.uid = ::geteuid(), .gid = ::getegid(), .groups = {}, .umask = 022};
};

TEST_F(Drafts, AreFoundAndListedUntilTheyArePublished) {
  auto opened = create("/c");
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_TRUE(opened->is_new);
  const auto draft = source_.stat("/c");
  ASSERT_TRUE(draft);
  EXPECT_EQ(draft->mode, 0644U) << "the umask";
  EXPECT_EQ(draft->version, opened->version);
  struct stat copy {};
  ASSERT_EQ(::fstat(opened->fd.get(), &copy), 0);
  EXPECT_EQ(copy.st_mode & 07777, 0644U) << "whoever publishes the copy takes its attributes";
  EXPECT_EQ(names("/"), "b c d f ");
  EXPECT_EQ(names("/", "c"), "d f ");
  EXPECT_EQ(names("/", "", 1), "b ") << "of a later page";
  EXPECT_EQ(names("/", "b", 1), "c d ");
  EXPECT_FALSE(objects_.contains("/c"));
  EXPECT_EQ(source_.change(LookAgain{.path = "/c"}, me_)->status->version, draft->version);
  ASSERT_TRUE(opened->publish("/c"));
  EXPECT_EQ(source_.stat("/c")->version, "of-published");
  EXPECT_EQ(names("/"), "b c d f ");
}

TEST_F(Drafts, EndWithTheLastThatCouldPublishThem) {
  auto opened = create("/c");
  ASSERT_TRUE(opened);
  auto copy = opened->publish;
  *opened = OpenedInPlace();
  EXPECT_TRUE(source_.stat("/c")) << "one is left";
  copy = nullptr;
  EXPECT_EQ(source_.stat("/c").code(), Code::not_found);
  EXPECT_EQ(names("/"), "b d f ");
}

TEST_F(Drafts, AreNamesLikeOthers) {
  const auto opened = create("/dir/x");
  ASSERT_TRUE(opened);
  EXPECT_EQ(create("/dir/x", true).error().error_number(), EEXIST);
  const auto again = create("/dir/x");
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->is_new);
  EXPECT_EQ(errno_of(MakeDirectory{.path = "/dir/x", .mode = 0777}), EEXIST);
  EXPECT_EQ(errno_of(RemoveDirectory{.path = "/dir"}), ENOTEMPTY);
  EXPECT_EQ(source_.change(Rename{.from = "/dir/x", .to = "/y", .target = Rename::Target::replace}, me_).code(), Code::busy);
  EXPECT_EQ(errno_of(Rename{.from = "/b", .to = "/dir/x", .target = Rename::Target::must_be_absent}), EEXIST);
  ASSERT_EQ(errno_of(Rename{.from = "/dir", .to = "/moved", .target = Rename::Target::replace}), 0);
  EXPECT_EQ(names("/moved"), "x ");
  EXPECT_EQ(source_.stat("/dir/x").code(), Code::not_found);
  ASSERT_EQ(errno_of(RemoveFile{.path = "/moved/x"}), 0);
  EXPECT_EQ(names("/moved"), "");
}

TEST_F(Drafts, AnExistingFileIsNoneAndItsCopyHasItsAttributes) {
  const auto opened = create("/b");
  ASSERT_TRUE(opened);
  EXPECT_FALSE(opened->is_new);
  struct stat copy {};
  ASSERT_EQ(::fstat(opened->fd.get(), &copy), 0);
  EXPECT_EQ(copy.st_mode & 07777, 0640U);
  EXPECT_EQ(copy.st_mtim.tv_sec, 5);
  EXPECT_EQ(source_.stat("/b")->version, "of-1");
}

TEST_F(Drafts, TakeTheGroupOfASetGroupIdDirectory) {
  if (::geteuid() != 0) GTEST_SKIP() << "root gives files to groups";
  const auto opened = create("/shared/x");
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ(source_.stat("/shared/x")->gid, 77U);
}

}  // namespace
}  // namespace hearth
