#include "common/block_wire.h"

#include "proto/hearth.pb.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace hearth {
namespace {

BlockRef block() {
  BlockRef ref;
  ref.attachment = AttachmentId{7};
  ref.store_path = "dir/\xff\nname";
  ref.version = std::string("v\0 1", 4);
  ref.start = FileOffset{5ULL << 30};
  ref.length_bytes = (1ULL << 20) + 17;
  ref.page_size_bytes = 128U << 10;
  ref.file.length_bytes = ref.start.value + ref.length_bytes + 5;
  ref.file.uid = 1000;
  ref.file.gid = 0;
  ref.file.mode = 0640;
  ref.file.tenant = "ml \xc3\xa9";
  ref.id = block_id("file:///data", ref.store_path, ref.version, BlockSpan{ref.start.value, ref.length_bytes, ref.page_size_bytes});
  return ref;
}

// What block_from_wire() says of a good block after `change`; "" when it takes it.
std::string refusal(const std::function<void(proto::BlockRef&)>& change) {
  proto::BlockRef message;
  block_to_wire(block(), message);
  message.clear_file_length_bytes();  // so that each field is looked at by itself
  change(message);
  const Result<BlockRef> got = block_from_wire(message);
  if (got) return {};
  EXPECT_EQ(got.error().code(), Code::invalid_argument);
  return got.error().message();
}

TEST(BlockWire, ABlockComesBackAsItWasSent) {
  const BlockRef sent = block();
  proto::BlockRef message;
  block_to_wire(sent, message);
  proto::BlockRef parsed;
  ASSERT_TRUE(parsed.ParseFromString(message.SerializeAsString()));
  const Result<BlockRef> got = block_from_wire(parsed);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->id, sent.id);
  EXPECT_EQ(got->attachment, sent.attachment);
  EXPECT_EQ(got->store_path, sent.store_path);
  EXPECT_EQ(got->version, sent.version);
  EXPECT_EQ(got->start.value, sent.start.value);
  EXPECT_EQ(got->length_bytes, sent.length_bytes);
  EXPECT_EQ(got->page_size_bytes, sent.page_size_bytes);
  EXPECT_EQ(got->file.length_bytes, sent.file.length_bytes);
  EXPECT_EQ(got->file.uid, 1000u);
  EXPECT_EQ(got->file.mode, 0640u);
  EXPECT_EQ(got->file.gid, 0u) << "root is an owner, not an unknown one";
  EXPECT_EQ(got->file.tenant, sent.file.tenant);
  EXPECT_EQ(block_id_from_wire(parsed), sent.id);
}

TEST(BlockWire, RefusesABlockWithoutAnId) {
  EXPECT_NE(refusal([](auto& m) { m.set_id_high(0), m.set_id_low(0); }).find("without an id"), std::string::npos);
  EXPECT_EQ(refusal([](auto& m) { m.set_id_high(0), m.set_id_low(1); }), "");
}

TEST(BlockWire, RefusesLengthsThatNoBlockHas) {
  EXPECT_NE(refusal([](auto& m) { m.set_length_bytes(0); }), "");
  EXPECT_EQ(refusal([](auto& m) { m.set_length_bytes(1); }), "");
  EXPECT_EQ(refusal([](auto& m) { m.set_length_bytes(max_block_size_bytes); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_length_bytes(max_block_size_bytes + 1); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_length_bytes(UINT64_MAX); }), "");
}

TEST(BlockWire, RefusesABlockBeyondTheEndOfAnyFile) {
  const std::uint64_t last = (1ULL << 63) - (128U << 10);
  const auto ends_at = [&](std::uint64_t length) {
    return refusal([&](auto& m) { m.set_start_bytes(last), m.set_length_bytes(length); });
  };
  EXPECT_EQ(ends_at((128U << 10) - 1), "");
  EXPECT_NE(ends_at(128U << 10), "");
  EXPECT_NE(refusal([](auto& m) { m.set_start_bytes(UINT64_MAX - 131071); }).find("beyond any file"), std::string::npos);
}

TEST(BlockWire, RefusesPagesThatAreNotAPowerOfTwoWithinBounds) {
  for (const std::uint32_t good : {64U << 10, 128U << 10, 1U << 20, 16U << 20}) {
    EXPECT_EQ(refusal([&](auto& m) { m.set_page_size_bytes(good); }), "") << good;
  }
  for (const std::uint32_t bad : {0U, 1U, 4096U, 32U << 10, 192U << 10, 32U << 20, UINT32_MAX}) {
    EXPECT_NE(refusal([&](auto& m) { m.set_page_size_bytes(bad); }), "") << bad;
  }
}

TEST(BlockWire, RefusesPathsAndVersionsOutOfBounds) {
  EXPECT_EQ(refusal([](auto& m) { m.set_store_path(std::string(max_store_path_bytes, 'a')); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_store_path(std::string(max_store_path_bytes + 1, 'a')); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_store_path(std::string("a\0b", 3)); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_store_path("/a"); }), "");
  EXPECT_EQ(refusal([](auto& m) { m.set_version(std::string(max_file_version_bytes, 'v')); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_version(std::string(max_file_version_bytes + 1, 'v')); }), "");
}

TEST(BlockWire, APeerThatSaysNothingOfTheFileIsUnderstood) {
  proto::BlockRef message;
  block_to_wire(block(), message);
  message.clear_file_length_bytes(), message.clear_uid(), message.clear_gid(), message.clear_mode(), message.clear_tenant();
  const Result<BlockRef> got = block_from_wire(message);
  ASSERT_TRUE(got) << got.error().message();
  EXPECT_EQ(got->file.length_bytes, 0u);
  EXPECT_EQ(got->file_length_bytes(), got->start.value + got->length_bytes) << "what is known to exist";
  EXPECT_EQ(got->file.uid, BlockFile::unknown_id);
  EXPECT_EQ(got->file.gid, BlockFile::unknown_id);
  EXPECT_EQ(got->file.mode, BlockFile::unknown_mode);
  EXPECT_EQ(got->file.tenant, "");
}

TEST(BlockWire, RefusesABlockBeyondTheEndOfItsFile) {
  const std::uint64_t end = block().start.value + block().length_bytes;
  EXPECT_EQ(refusal([&](auto& m) { m.set_file_length_bytes(end); }), "");
  EXPECT_NE(refusal([&](auto& m) { m.set_file_length_bytes(end - 1); }).find("beyond its file"), std::string::npos);
  EXPECT_NE(refusal([&](auto& m) { m.set_file_length_bytes(1); }), "");
  EXPECT_EQ(refusal([&](auto& m) { m.set_file_length_bytes(INT64_MAX); }), "");
  EXPECT_NE(refusal([&](auto& m) { m.set_file_length_bytes(1ULL << 63); }), "");
}

TEST(BlockWire, RefusesTenantsOutOfBounds) {
  EXPECT_EQ(refusal([](auto& m) { m.set_tenant(std::string(max_tenant_bytes, 't')); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_tenant(std::string(max_tenant_bytes + 1, 't')); }).find("tenant"), std::string::npos);
  EXPECT_NE(refusal([](auto& m) { m.set_tenant("a\nb"); }), "");
  EXPECT_NE(refusal([](auto& m) { m.set_tenant(std::string("a\0b", 3)); }), "");
}

TEST(BlockWire, TheIdDoesNotDependOnOwnerTenantOrReader) {
  std::vector<BlockRef> blocks = cut_into_blocks("s", AttachmentId{1}, "p", "v", 10, 1 << 20, 1 << 20);
  ASSERT_EQ(blocks.size(), 1u);
  EXPECT_EQ(blocks[0].file.length_bytes, 10u);
  EXPECT_EQ(blocks[0].id, block_id("s", "p", "v", BlockSpan{0, 10, 1 << 20}));
}

TEST(BlockIds, AreHighThenLowLittleEndian) {
  const std::string bytes = block_ids_to_wire({BlockId{0x0102030405060708, 0x1112131415161718}});
  EXPECT_EQ(bytes, std::string("\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11", 16));
  EXPECT_EQ(block_ids_from_wire(bytes)->front(), (BlockId{0x0102030405060708, 0x1112131415161718}));
  EXPECT_FALSE(block_ids_from_wire(bytes.substr(1)));
}

}  // namespace
}  // namespace hearth
