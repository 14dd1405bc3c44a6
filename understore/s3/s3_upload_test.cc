// Uploads of files: parts, checksums, conditions, and what is left when one fails. And directories that nobody made.
#include "common/canceller.h"
#include "understore/s3/s3_world.h"
#include "understore/staged_conformance.h"

#include <boost/asio/bind_cancellation_slot.hpp>

#include <unistd.h>

namespace hearth::s3 {
namespace {

using Kind = DoubleFault::Kind;
using Replaces = StagedContent::Replaces;

constexpr std::uint64_t part = 5ULL << 20;  // the smallest that S3 takes

class S3Upload : public ::testing::Test {
 protected:
  Result<ObjectInfo> upload(DoubleStore& world, const std::string& path, const std::string& content, Replaces replaces = Replaces::anything) {
    const UniqueFd fd = staged_file(content);
    return run_task(world.store().upload(path, {.fd = fd.get(), .length_bytes = content.size(), .replaces = replaces}, DoubleStore::soon()));
  }
  static Result<ChangeResult> change(DoubleStore& world, Change what) {
    return run_task(world.store().change(std::move(what), Caller(), DoubleStore::soon()));
  }
};

TEST_F(S3Upload, EveryLengthArrivesWithEveryChecksum) {
  for (const char* checksum : {"crc32c", "crc64nvme", "sha256", "none"}) {
    DoubleStore world({}, {{"part_size", "5MiB"}, {"checksum", checksum}, {"parallel", "2"}});
    for (const std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, part - 1, part, part + 1, 2 * part, 2 * part + 1, 3 * part - 1, 3 * part, 3 * part + 1}) {
      const std::string content = content_of_length(length);
      const auto info = upload(world, "f", content);
      ASSERT_TRUE(info) << checksum << " " << length << ": " << info.error().to_string();
      EXPECT_TRUE(world.server().content("f") == content) << checksum << " " << length;
      EXPECT_EQ(world.stat("f")->version, info->version);
    }
    EXPECT_EQ(world.server().open_uploads(), 0U);
    EXPECT_EQ(world.server().count("CompleteMultipartUpload"), 4U);
    EXPECT_EQ(world.server().count("UploadPart"), 3U + 3 + 3 + 4);
  }
}

TEST_F(S3Upload, AFailureInTheMiddleLeavesTheOldObjectAndNoUpload) {
  DoubleStore world({}, {{"part_size", "5MiB"}});
  world.server().put("f", "as it was");
  for (const char* operation : {"CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}) {
    world.server().at_request(operation, operation == std::string("UploadPart") ? 2 : 0, {.kind = Kind::refuse, .status = 500, .text = "InternalError"});
    EXPECT_EQ(upload(world, "f", content_of_length(4 * part)).code(), Code::unavailable) << operation;
    EXPECT_EQ(world.server().content("f"), "as it was") << operation;
    EXPECT_EQ(world.server().open_uploads(), 0U) << operation;
  }
}

TEST_F(S3Upload, AFileThatShrinksBetweenPartsIsNotUploaded) {
  DoubleStore world({}, {{"part_size", "5MiB"}});
  world.server().put("f", "as it was");
  const UniqueFd fd = staged_file(content_of_length(3 * part - 1));
  const auto refused = run_task(world.store().upload("f", {.fd = fd.get(), .length_bytes = 3 * part}, DoubleStore::soon()));
  EXPECT_EQ(refused.code(), Code::stale);
  EXPECT_EQ(world.server().content("f"), "as it was");
  EXPECT_EQ(world.server().open_uploads(), 0U);
}

// Story: a mount's call that was interrupted. Nobody is there any more to abort what it began.
TEST_F(S3Upload, WhatACancelledUploadLeavesIsTakenBackLater) {
  DoubleStore world({}, {{"part_size", "5MiB"}});
  world.server().always("UploadPart", {.kind = Kind::delay, .delay = std::chrono::seconds(1)});
  const UniqueFd fd = staged_file(content_of_length(3 * part));
  asio::io_context& context = task_context();
  Canceller canceller(context.get_executor());
  bool ended = false;
  asio::co_spawn(context, world.store().upload("f", {.fd = fd.get(), .length_bytes = 3 * part}, DoubleStore::soon()),
                 asio::bind_cancellation_slot(canceller.slot(), [&](const std::exception_ptr& thrown, const Result<ObjectInfo>& result) {
                   ended = true;
                   EXPECT_TRUE(thrown || !result);
                 }));
  while (world.server().count("UploadPart") == 0) context.run_one_for(std::chrono::milliseconds(10));
  canceller.cancel();
  context.run();
  EXPECT_TRUE(ended);
  EXPECT_EQ(world.server().content("f"), std::nullopt);
  ASSERT_TRUE(run_task(world.store().sweep(DoubleStore::soon())));
  EXPECT_EQ(world.server().open_uploads(), 0U);
}

// Story: somebody makes the object after it was looked for and before it is there.
TEST_F(S3Upload, WhoeverMakesTheObjectFirstHasIt) {
  DoubleStore world({}, {{"part_size", "5MiB"}});
  for (const char* operation : {"PutObject", "CompleteMultipartUpload"}) {
    world.server().prepare_switch(operation, "somebody else's");
    world.server().at_request(operation, 0, {.kind = Kind::switch_version});
    const std::string content = content_of_length(operation == std::string("PutObject") ? 10 : 3 * part);
    const auto refused = upload(world, operation, content, Replaces::nothing);
    EXPECT_EQ(refused.code(), Code::already_exists) << refused.error().to_string();
    EXPECT_EQ(world.server().content(operation), "somebody else's");
    EXPECT_EQ(world.server().open_uploads(), 0U);
  }
}

TEST_F(S3Upload, AConflictOfConditionalUploadsMayBeRepeated) {
  DoubleStore world;
  world.server().at_request("PutObject", 0, {.kind = Kind::refuse, .status = 409, .text = "ConditionalRequestConflict"});
  EXPECT_EQ(upload(world, "f", "x", Replaces::nothing).code(), Code::overloaded);
  EXPECT_TRUE(upload(world, "f", "x", Replaces::nothing));
}

// Story: the connection ends before the answer. A second request would be refused by what the first one made.
TEST_F(S3Upload, OnlyWhatMayReplaceIsSentAgainWithoutAnAnswer) {
  DoubleStore world;
  world.server().at_request("PutObject", 0, {.kind = Kind::drop});
  EXPECT_EQ(upload(world, "f", "x", Replaces::nothing).code(), Code::unavailable);
  EXPECT_EQ(world.server().count("PutObject"), 1U);
  world.server().at_request("PutObject", 0, {.kind = Kind::drop});
  EXPECT_TRUE(upload(world, "f", "y"));
  EXPECT_EQ(world.server().count("PutObject"), 3U);
}

TEST_F(S3Upload, DirectoriesThatNobodyMadeStayWhenTheirLastFileGoes) {
  DoubleStore world;
  for (const char* key : {"removed/file", "left/file", "outer/inner/file", "two/a", "two/b"}) world.server().put(key, "x");
  ASSERT_TRUE(change(world, RemoveFile{.path = "removed/file"}));
  ASSERT_TRUE(change(world, Rename{.from = "left/file", .to = "file"}));
  ASSERT_TRUE(change(world, Rename{.from = "outer/inner", .to = "inner"}));
  ASSERT_TRUE(change(world, RemoveFile{.path = "two/a"}));
  const std::vector<std::string> keys{"file", "inner/file", "left/", "outer/", "removed/", "two/", "two/b"};
  EXPECT_EQ(world.server().keys(), keys);
  world.server().forgive();
  ASSERT_TRUE(change(world, RemoveFile{.path = "two/b"}));
  EXPECT_EQ(world.server().count("PutObject"), 0U) << "the marker is made once";
  ASSERT_TRUE(change(world, RemoveDirectory{.path = "two"}));
  EXPECT_EQ(world.stat("two").code(), Code::not_found);
}

TEST_F(S3Upload, ARemovalThatIsRefusedLeavesNoMarker) {
  DoubleStore world;
  world.server().put("a/b/file", "x");
  EXPECT_EQ(change(world, RemoveDirectory{.path = "a/b"}).code(), Code::not_empty);
  EXPECT_EQ(world.server().keys(), std::vector<std::string>{"a/b/file"});
}

TEST_F(S3Upload, WhatAnUploadAndAChangeAskFor) {
  DoubleStore world;
  const auto requests_of = [&](auto call) {
    world.server().forgive();
    EXPECT_TRUE(call());
    return world.server().count("");
  };
  world.server().put("d/", "");
  EXPECT_EQ(requests_of([&] { return upload(world, "d/f", "x"); }), 3U) << "HEAD of the directory, LIST below the name, PUT";
  EXPECT_EQ(requests_of([&] { return upload(world, "d/g", "x", Replaces::nothing); }), 4U) << "and HEAD of the name";
  EXPECT_EQ(requests_of([&] { return upload(world, "h", "x"); }), 2U);
  EXPECT_EQ(requests_of([&] { return change(world, LookAgain{.path = "d/f"}); }), 1U);
  EXPECT_EQ(requests_of([&] { return change(world, SetAttributes{.path = "d/f"}); }), 1U);
  EXPECT_EQ(requests_of([&] { return change(world, RemoveFile{.path = "d/f"}); }), 4U) << "HEAD, LIST for the marker, HEAD, DELETE";
}

TEST(Crc64, OfBothIsThatOfAll) {
  for (const std::size_t first : {std::size_t{0}, std::size_t{1}, std::size_t{4096}}) {
    for (const std::size_t second : {std::size_t{0}, std::size_t{1}, std::size_t{77777}}) {
      const std::string all = content_of_length(first + second);
      const std::uint64_t a = crc64nvme(as_bytes_of(std::string_view(all).substr(0, first)));
      const std::uint64_t b = crc64nvme(as_bytes_of(std::string_view(all).substr(first)));
      EXPECT_EQ(crc64nvme_of_both(a, b, second), crc64nvme(as_bytes_of(all))) << first << " " << second;
    }
  }
}

}  // namespace
}  // namespace hearth::s3
