#include "understore/staged_conformance.h"

#include "common/file_io.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace hearth {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StagedConformance);

UniqueFd staged_file(const std::string& content) {
  UniqueFd fd(::memfd_create("staged", MFD_CLOEXEC));
  EXPECT_TRUE(fd);
  EXPECT_TRUE(write_at(fd.get(), std::as_bytes(std::span(content)), 0, "staged"));
  return fd;
}

std::string content_of_length(std::size_t length_bytes) {
  std::string content(length_bytes, '\0');
  std::uint32_t state = 1;
  for (char& each : content) {
    state = state * 1664525 + 1013904223;
    each = static_cast<char>(state >> 24);
  }
  return content;
}

Result<ObjectInfo> StagedConformance::upload(const std::string& path, const std::string& content, Replaces replaces) {
  const UniqueFd fd = staged_file(content);
  return run_task(store().upload(path, {.fd = fd.get(), .length_bytes = content.size(), .replaces = replaces}, soon()));
}

Result<ChangeResult> StagedConformance::change(Change what) {
  const Caller caller{.uid = 1000, .gid = 1000, .groups = {}, .umask = 022};
  return run_task(store().change(std::move(what), caller, soon()));
}

int StagedConformance::refusal(Change what) {
  const auto result = change(std::move(what));
  return result ? 0 : result.error().error_number();
}

void StagedConformance::expect_true(const Result<ChangeResult>& result) {
  ASSERT_TRUE(result) << result.error().to_string();
  for (const Touched& one : result->touched) {
    const auto now = stat(one.path);
    if (!one.now) {
      EXPECT_EQ(now.code(), Code::not_found) << one.path;
      continue;
    }
    ASSERT_TRUE(now) << one.path << ": " << now.error().to_string();
    EXPECT_EQ(now->type, one.now->type) << one.path;
    EXPECT_EQ(now->name, one.now->name) << one.path;
    EXPECT_EQ(now->version, one.now->version) << one.path;
    EXPECT_EQ(now->length_bytes, one.now->length_bytes) << one.path;
    EXPECT_EQ(now->mode, one.now->mode) << one.path;
  }
}

std::vector<std::string> StagedConformance::paths(const Result<ChangeResult>& result) {
  std::vector<std::string> all;
  if (!result) return {result.error().to_string()};
  for (const Touched& one : result->touched) {
    all.push_back((one.now ? "" : "!") + one.path + (one.now && one.now->type == FileType::directory ? "/" : ""));
  }
  std::sort(all.begin(), all.end());
  return all;
}

using Paths = std::vector<std::string>;

TEST_P(StagedConformance, SaysThatItIsWrittenWhole) {
  EXPECT_EQ(store().capabilities().writing, StoreCapabilities::Writing::staged);
}

TEST_P(StagedConformance, UploadsBecomeTheObject) {
  for (const std::size_t length : {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{1} << 20, (std::size_t{1} << 20) + 1}) {
    const std::string content = content_of_length(length);
    const auto info = upload("file", content);
    ASSERT_TRUE(info) << length << ": " << info.error().to_string();
    EXPECT_EQ(info->name, "file");
    EXPECT_EQ(info->type, FileType::regular);
    EXPECT_EQ(info->length_bytes, length);
    EXPECT_EQ(stat("file")->version, info->version) << "what it told is what is there";
    const auto read_back = read_all("file");
    ASSERT_TRUE(read_back) << read_back.error().to_string();
    EXPECT_TRUE(*read_back == content) << length;
  }
}

TEST_P(StagedConformance, UploadsWhatTheFileHasNotMoreThanWasSaid) {
  const UniqueFd fd = staged_file("0123456789");
  ASSERT_TRUE(run_task(store().upload("file", {.fd = fd.get(), .length_bytes = 4}, soon())));
  EXPECT_EQ(read_all("file").value_or("failed"), "0123");
}

TEST_P(StagedConformance, AFileThatShrankIsNotUploaded) {
  world_->put_text("file", "as it was");
  const UniqueFd fd = staged_file("short");
  const auto refused = run_task(store().upload("file", {.fd = fd.get(), .length_bytes = 6}, soon()));
  EXPECT_EQ(refused.code(), Code::stale);
  EXPECT_EQ(read_all("file").value_or("failed"), "as it was");
  EXPECT_EQ(names(""), Paths{"file"}) << "nothing is left behind";
}

TEST_P(StagedConformance, ADescriptorThatCanNotBeReadIsNotUploaded) {
  world_->put_text("file", "as it was");
  const auto refused = run_task(store().upload("file", {.fd = -1, .length_bytes = 6}, soon()));
  EXPECT_FALSE(refused);
  EXPECT_EQ(read_all("file").value_or("failed"), "as it was");
  EXPECT_EQ(names(""), Paths{"file"});
}

TEST_P(StagedConformance, WhatMustBeNewIsRefusedWhereSomethingIs) {
  world_->put_directory("dir");
  ASSERT_TRUE(upload("new", "first", Replaces::nothing));
  const auto refused = upload("new", "second", Replaces::nothing);
  EXPECT_EQ(refused.code(), Code::already_exists);
  EXPECT_EQ(refused.error().error_number(), EEXIST);
  EXPECT_EQ(upload("dir", "x", Replaces::nothing).code(), Code::already_exists);
  EXPECT_EQ(read_all("new").value_or("failed"), "first");
  EXPECT_EQ(names(""), (Paths{"dir", "new"}));
}

TEST_P(StagedConformance, UploadsSayWhatStandsInTheWay) {
  world_->put_directory("dir");
  world_->put_text("file", "x");
  EXPECT_EQ(upload("dir", "x").code(), Code::is_directory);
  EXPECT_EQ(upload("file/below", "x").code(), Code::not_directory);
  EXPECT_FALSE(upload("", "x"));
  EXPECT_EQ(upload("../x", "x").code(), Code::invalid_argument);
  EXPECT_EQ(names(""), (Paths{"dir", "file"}));
}

TEST_P(StagedConformance, MakesAndRemovesDirectories) {
  const auto made = change(MakeDirectory{.path = "d", .mode = 0777});
  EXPECT_EQ(paths(made), (Paths{"/", "d/"}));
  expect_true(made);
  expect_true(change(MakeDirectory{.path = "d/e", .mode = 0777}));
  EXPECT_EQ(names("d"), Paths{"e"});
  EXPECT_EQ(refusal(MakeDirectory{.path = "d", .mode = 0777}), EEXIST);
  EXPECT_EQ(refusal(MakeDirectory{.path = "missing/d", .mode = 0777}), ENOENT);
  EXPECT_EQ(refusal(RemoveDirectory{.path = "d"}), ENOTEMPTY);
  const auto removed = change(RemoveDirectory{.path = "d/e"});
  EXPECT_EQ(paths(removed), (Paths{"!d/e", "d/"}));
  expect_true(removed);
  expect_true(change(RemoveDirectory{.path = "d"}));
  EXPECT_EQ(refusal(RemoveDirectory{.path = "d"}), ENOENT);
  EXPECT_TRUE(names("").empty());
}

TEST_P(StagedConformance, SaysWhatIsWrongWithAPathOfAChange) {
  world_->put_text("file", "x");
  world_->put_directory("dir");
  EXPECT_EQ(refusal(MakeDirectory{.path = "file/d"}), ENOTDIR);
  EXPECT_EQ(refusal(MakeDirectory{.path = "file"}), EEXIST);
  EXPECT_EQ(refusal(MakeDirectory{.path = ""}), EBUSY);
  EXPECT_EQ(refusal(RemoveFile{.path = "dir"}), EISDIR);
  EXPECT_EQ(refusal(RemoveFile{.path = "missing"}), ENOENT);
  EXPECT_EQ(refusal(RemoveFile{.path = "file/x"}), ENOTDIR);
  EXPECT_EQ(refusal(RemoveFile{.path = ""}), EBUSY);
  EXPECT_EQ(refusal(RemoveDirectory{.path = "file"}), ENOTDIR);
  EXPECT_EQ(refusal(RemoveDirectory{.path = ""}), EBUSY);
  EXPECT_EQ(refusal(RemoveFile{.path = "../file"}), EINVAL);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "../x"}), EINVAL);
  EXPECT_EQ(refusal(SetAttributes{.path = "missing"}), ENOENT);
  EXPECT_EQ(names(""), (Paths{"dir", "file"}));
}

TEST_P(StagedConformance, RemovesFiles) {
  world_->put_directory("d");
  world_->put_text("d/a", "a");
  world_->put_text("d/b", "b");
  const std::string version = stat("d/a")->version;
  const auto removed = change(RemoveFile{.path = "d/a"});
  EXPECT_EQ(paths(removed), (Paths{"!d/a", "d/"}));
  expect_true(removed);
  EXPECT_EQ(removed->version_before, version);
  EXPECT_EQ(names("d"), Paths{"b"});
}

TEST_P(StagedConformance, ADirectoryStaysWhenItsLastNameGoes) {
  for (const char* one : {"a", "b", "c"}) world_->put_directory(one);
  ASSERT_TRUE(upload("a/file", "x"));
  ASSERT_TRUE(upload("c/file", "x"));
  expect_true(change(RemoveFile{.path = "a/file"}));
  expect_true(change(Rename{.from = "c/file", .to = "b/file"}));
  EXPECT_EQ(names(""), (Paths{"a", "b", "c"}));
  EXPECT_TRUE(names("a").empty());
  EXPECT_TRUE(names("c").empty());
  EXPECT_EQ(refusal(RemoveDirectory{.path = "a"}), 0);
  EXPECT_EQ(refusal(RemoveDirectory{.path = "c"}), 0);
  EXPECT_EQ(names(""), Paths{"b"});
}

TEST_P(StagedConformance, RenamesFiles) {
  world_->put_directory("d");
  world_->put_text("a", "content of a");
  world_->put_text("d/b", "content of b");
  const std::string version = stat("a")->version;
  const auto moved = change(Rename{.from = "a", .to = "d/a"});
  EXPECT_EQ(paths(moved), (Paths{"!a", "/", "d/", "d/a"}));
  expect_true(moved);
  EXPECT_EQ(moved->version_before, version);
  const auto over = change(Rename{.from = "d/a", .to = "d/b"});
  EXPECT_EQ(paths(over), (Paths{"!d/a", "d/", "d/b"}));
  expect_true(over);
  EXPECT_EQ(read_all("d/b").value_or("failed"), "content of a");
  EXPECT_EQ(names("d"), Paths{"b"});
  EXPECT_EQ(refusal(Rename{.from = "d/b", .to = "d/b"}), 0);
  EXPECT_EQ(read_all("d/b").value_or("failed"), "content of a");
}

TEST_P(StagedConformance, RenamesDirectories) {
  world_->put_directory("d");
  world_->put_directory("empty");
  world_->put_text("d/a", "content of a");
  const auto moved = change(Rename{.from = "d", .to = "e"});
  EXPECT_EQ(paths(moved), (Paths{"!d", "/", "e/"}));
  expect_true(moved);
  EXPECT_EQ(read_all("e/a").value_or("failed"), "content of a");
  expect_true(change(Rename{.from = "e", .to = "empty"}));
  EXPECT_EQ(names(""), Paths{"empty"});
  EXPECT_EQ(read_all("empty/a").value_or("failed"), "content of a");
}

TEST_P(StagedConformance, RenamesOnlyWherePosixDoes) {
  using Target = Rename::Target;
  world_->put_directory("dir");
  world_->put_directory("full");
  world_->put_text("full/x", "x");
  world_->put_text("file", "file");
  world_->put_text("other", "other");
  EXPECT_EQ(refusal(Rename{.from = "missing", .to = "x"}), ENOENT);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "missing/x"}), ENOENT);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "other/x"}), ENOTDIR);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "dir"}), EISDIR);
  EXPECT_EQ(refusal(Rename{.from = "dir", .to = "file"}), ENOTDIR);
  EXPECT_EQ(refusal(Rename{.from = "dir", .to = "full"}), ENOTEMPTY);
  EXPECT_EQ(refusal(Rename{.from = "full", .to = "full/below"}), EINVAL);
  EXPECT_EQ(refusal(Rename{.from = "", .to = "x"}), EBUSY);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = ""}), EBUSY);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "other", .target = Target::must_be_absent}), EEXIST);
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "other", .target = Target::exchange}), EINVAL);
  EXPECT_EQ(names(""), (Paths{"dir", "file", "full", "other"}));
  EXPECT_EQ(read_all("other").value_or("failed"), "other");
  EXPECT_EQ(refusal(Rename{.from = "file", .to = "new", .target = Target::must_be_absent}), 0);
  EXPECT_EQ(read_all("new").value_or("failed"), "file");
}

TEST_P(StagedConformance, MakesEmptyFilesButNoOtherNodes) {
  world_->put_directory("d");
  const auto made = change(MakeNode{.path = "d/f", .mode = S_IFREG | 0644});
  EXPECT_EQ(paths(made), (Paths{"d/", "d/f"}));
  expect_true(made);
  EXPECT_EQ(stat("d/f")->length_bytes, 0U);
  EXPECT_EQ(refusal(MakeNode{.path = "d/f", .mode = S_IFREG | 0644}), EEXIST);
  EXPECT_EQ(refusal(MakeNode{.path = "d/fifo", .mode = S_IFIFO | 0644}), EPERM);
  EXPECT_EQ(refusal(MakeSymlink{.path = "d/link", .target = "f"}), EPERM);
  EXPECT_EQ(refusal(MakeLink{.path = "d/link", .existing = "d/f"}), EPERM);
  EXPECT_EQ(names("d"), Paths{"f"});
}

TEST_P(StagedConformance, AnswersAttributesWithWhatIsThere) {
  world_->put_text("f", "x");
  const std::string version = stat("f")->version;
  const auto set = change(SetAttributes{.path = "f", .mode = 0640});
  EXPECT_EQ(paths(set), Paths{"f"});
  expect_true(set);
  EXPECT_EQ(set->version_before, version);
  EXPECT_EQ(refusal(SetXattr{.path = "f", .name = "user.x", .value = "1"}), ENOTSUP);
  EXPECT_EQ(refusal(RemoveXattr{.path = "f", .name = "user.x"}), ENOTSUP);
}

TEST_P(StagedConformance, SyncsDirectoriesAndLooksAgain) {
  world_->put_directory("d");
  world_->put_text("d/f", "x");
  expect_true(change(SyncDirectory{.path = "d"}));
  expect_true(change(SyncDirectory{.path = ""}));
  EXPECT_EQ(refusal(SyncDirectory{.path = "d/f"}), ENOTDIR);
  EXPECT_EQ(refusal(SyncDirectory{.path = "missing"}), ENOENT);
  const auto again = change(LookAgain{.path = "d/f"});
  EXPECT_EQ(paths(again), (Paths{"d/", "d/f"}));
  expect_true(again);
  EXPECT_EQ(paths(change(LookAgain{.path = "missing"})), Paths{"!missing"});
  EXPECT_EQ(paths(change(LookAgain{.path = ""})), Paths{"/"});
}

TEST_P(StagedConformance, SaysUnavailableWhenItCanNotAsk) {
  world_->put_text("f", "x");
  world_->vanish();
  EXPECT_EQ(change(RemoveFile{.path = "f"}).code(), Code::unavailable);
  EXPECT_EQ(change(LookAgain{.path = "f"}).code(), Code::unavailable);
  EXPECT_EQ(change(Rename{.from = "f", .to = "g"}).code(), Code::unavailable);
  EXPECT_EQ(upload("f", "y").code(), Code::unavailable);
}

}  // namespace hearth
