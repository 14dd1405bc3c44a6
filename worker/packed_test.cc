// Packed small blocks over the wire: where a reader on this host is told they lie, and the leases on their segments.
#include "common/block_wire.h"
#include "common/crc32c.h"
#include "worker/tiers_testing.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace hearth::worker::testing {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t tier_bytes = 64ULL << 20;  // the smallest that has segments: of 2 MiB
constexpr std::uint64_t segment_bytes = 2ULL << 20;

WorkerOptions packing(WorkerOptions options) {
  options.memory.capacity_bytes = tier_bytes;
  options.memory.pack_below_bytes = test_page;
  options.memory.max_blocks = 0;
  return options;
}

class PackedCalls : public WorkerTiers {
 protected:
  BlockRef owned(const std::string& path, std::uint64_t length) {
    BlockRef block = file(path, length);
    block.file.uid = 1000;
    block.file.gid = 100;
    block.file.mode = 0644;
    return block;
  }
  std::optional<proto::PackedPlace> place(RpcChannel& channel, const BlockRef& block, std::uint64_t offset = 0,
                                          std::uint64_t length = 0) {
    if (length == 0) length = block.length_bytes - offset;
    proto::ReadRequest request;
    block_to_wire(block, *request.mutable_block());
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    std::vector<std::byte> bytes(length);
    const Result<RpcReply> reply = call(channel, Method::read, request, bytes);
    proto::ReadReply body;
    EXPECT_TRUE(reply && body.ParseFromString(reply->body));
    EXPECT_TRUE(is_oracle(bytes, block.store_path, block.version, offset));
    if (!body.has_packed()) return std::nullopt;
    return body.packed();
  }
  struct Lease {
    std::uint64_t id = 0;
    UniqueFd fd;
  };
  Result<Lease> lease(RpcChannel& channel, const BlockRef& block, const std::string& segment) {
    proto::GrantRequest request;
    block_to_wire(block, *request.mutable_block());
    request.set_segment_id(segment);
    std::vector<std::byte> no_checksums(64);
    TRY(reply, call(channel, Method::grant, request, no_checksums));
    proto::GrantReply body;
    EXPECT_TRUE(body.ParseFromString(reply.body));
    EXPECT_EQ(reply.payload_bytes, 0U);
    EXPECT_EQ(body.length_bytes(), segment_bytes);
    EXPECT_EQ(body.fd_offset_bytes(), 0U);
    EXPECT_FALSE(body.in_filling());
    return Lease{.id = body.lease_id(), .fd = std::move(reply.fds.at(0))};
  }
  static bool shown(const Lease& lease, const proto::PackedPlace& place, const BlockRef& block) {
    std::vector<std::byte> bytes(block.length_bytes);
    const auto got = ::pread(lease.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(place.offset_bytes()));
    const std::vector<std::uint32_t> sums(place.chunk_checksums().begin(), place.chunk_checksums().end());
    return got == static_cast<ssize_t>(bytes.size()) && is_oracle(bytes, block.store_path, block.version, 0) &&
           sums == chunk_checksums(bytes);
  }
  Status release(RpcChannel& channel, std::uint64_t lease) {
    proto::ReleaseRequest request;
    request.add_lease_ids(lease);
    TRY(reply, call(channel, Method::release, request));
    return ok();
  }
  MemoryTierStats memory() { return shard_->blocks().stats(); }
};

TEST_F(PackedCalls, AReaderOnThisHostIsToldWhereTheWholeBlockLies) {
  start(packing(small_options()));
  const auto local = connect_local();
  const auto remote = connect_tcp();
  const BlockRef block = owned("a", 50'000);
  const auto first = place(*local, block);
  ASSERT_TRUE(first) << "also when it was fetched for this very read";
  EXPECT_EQ(first->segment_id().size(), 16U);
  EXPECT_EQ(first->chunk_checksums_size(), 1);
  const auto again = place(*local, block);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->SerializeAsString(), first->SerializeAsString());
  EXPECT_FALSE(place(*remote, block));
  const auto of_a_part = place(*local, block, 1, 10);
  ASSERT_TRUE(of_a_part) << "the next read of any part of it needs nobody";
  EXPECT_EQ(of_a_part->SerializeAsString(), first->SerializeAsString());
  EXPECT_FALSE(place(*local, owned("large", test_page + 1)));
  EXPECT_FALSE(place(*local, file("nobodys", 1000)));
}

TEST_F(PackedCalls, OneGrantShowsEveryBlockOfTheSegmentAlsoThoseThatComeLater) {
  start(packing(small_options()));
  const auto channel = connect_local();
  const BlockRef first = owned("a", test_page);
  const auto where = place(*channel, first);
  ASSERT_TRUE(where);
  const auto held = lease(*channel, first, where->segment_id());
  ASSERT_TRUE(held) << held.error().message();
  EXPECT_TRUE(shown(*held, *where, first));
  for (int i = 0; i < 10; ++i) {
    const BlockRef block = owned("b" + std::to_string(i), 1000 + i * 5000);
    const auto later = place(*channel, block);
    ASSERT_TRUE(later);
    ASSERT_EQ(later->segment_id(), where->segment_id());
    EXPECT_TRUE(shown(*held, *later, block));
  }
  EXPECT_EQ(memory().leases, 1U);
  ASSERT_TRUE(release(*channel, held->id));
  EXPECT_EQ(memory().leases, 0U);
}

TEST_F(PackedCalls, AGrantNamesASegmentInWhichTheBlockLies) {
  start(packing(small_options()));
  const auto local = connect_local();
  const auto remote = connect_tcp();
  const BlockRef block = owned("a", 1000);
  const auto where = place(*local, block);
  ASSERT_TRUE(where);
  EXPECT_EQ(lease(*local, block, std::string(16, 'x')).code(), Code::not_found);
  EXPECT_EQ(lease(*local, owned("b", 1000), where->segment_id()).code(), Code::not_found);
  EXPECT_EQ(lease(*local, block, "short").code(), Code::invalid_argument);
  EXPECT_EQ(lease(*local, block, where->segment_id() + where->segment_id()).code(), Code::invalid_argument);
  EXPECT_EQ(lease(*remote, block, where->segment_id()).code(), Code::permission_denied);
  EXPECT_EQ(grant(*local, block).code(), Code::unsupported) << "it has no descriptor of its own";
  EXPECT_EQ(memory().leases, 0U);
}

TEST_F(PackedCalls, ALeaseOnASegmentIsNoneOnABlock) {
  start(packing(small_options()));
  const auto channel = connect_local();
  const BlockRef block = owned("a", test_page);
  const auto where = place(*channel, block);
  ASSERT_TRUE(where);
  const auto held = lease(*channel, block, where->segment_id());
  ASSERT_TRUE(held);
  proto::ReadRequest request;
  block_to_wire(block, *request.mutable_block());
  request.set_length_bytes(block.length_bytes);
  request.set_lease_id(held->id);
  std::vector<std::byte> into(64);
  EXPECT_EQ(call(*channel, Method::read, request, into).code(), Code::not_found) << "nothing is read in place";
}

TEST_F(PackedCalls, LeasesOnSegmentsCountAndEndWithTheirConnection) {
  WorkerOptions options = packing(small_options());
  options.max_grants_per_connection = 2;
  start(options);
  auto channel = connect_local();
  const BlockRef block = owned("a", 1000);
  const auto where = place(*channel, block);
  ASSERT_TRUE(where);
  ASSERT_TRUE(lease(*channel, block, where->segment_id()));
  ASSERT_TRUE(lease(*channel, block, where->segment_id()));
  EXPECT_EQ(lease(*channel, block, where->segment_id()).code(), Code::overloaded);
  EXPECT_EQ(memory().leases, 2U);
  channel.reset();
  ASSERT_TRUE(loop_.work_until([&] { return memory().leases == 0; }));
}

TEST_F(PackedCalls, AMappedSegmentIsAskedBackWhenNothingElseMakesRoom) {
  start(packing(small_options()));
  keep_memory_full();
  const auto channel = connect_local();
  std::vector<std::uint64_t> recalled;
  channel->on_notice([&recalled](Method method, const std::string& body) {
    proto::RecallNotice notice;
    if (method != Method::recall || !notice.ParseFromString(body)) return;
    recalled.insert(recalled.end(), notice.lease_ids().begin(), notice.lease_ids().end());
  });
  std::vector<Lease> leases;
  std::string segment;
  std::optional<proto::PackedPlace> first;
  const BlockRef first_block = owned("0", test_page);
  for (std::uint64_t i = 0; i < tier_bytes / test_page; ++i) {
    const BlockRef block = i == 0 ? first_block : owned(std::to_string(i), test_page);
    const auto where = place(*channel, block);
    ASSERT_TRUE(where);
    if (i == 0) first = where;
    if (where->segment_id() == segment) continue;
    segment = where->segment_id();
    leases.push_back(lease(*channel, block, segment).value());
  }
  ASSERT_EQ(leases.size(), tier_bytes / segment_bytes);
  const BlockRef other = owned("other", test_page);
  EXPECT_FALSE(place(*channel, other)) << "served, and kept nowhere";
  ASSERT_TRUE(loop_.work_until([&] { return !recalled.empty(); }));
  EXPECT_EQ(recalled, std::vector<std::uint64_t>{leases[0].id}) << "the one that was read least lately";
  EXPECT_TRUE(shown(leases[0], *first, first_block));
  ASSERT_TRUE(release(*channel, leases[0].id));
  EXPECT_TRUE(place(*channel, other));
  EXPECT_TRUE(shown(leases[0], *first, first_block)) << "a client that was slow to let go still reads right bytes";
}

TEST_F(PackedCalls, AWrongByteInASegmentIsDroppedAndFetchedAgainElsewhere) {
  start(packing(small_options()));
  const auto channel = connect_local();
  const BlockRef block = owned("a", 1000);
  const auto where = place(*channel, block);
  ASSERT_TRUE(where);
  const auto held = lease(*channel, block, where->segment_id());
  ASSERT_TRUE(held);
  shard_->blocks().tamper_for_test(block.id)[7] ^= std::byte{1};
  EXPECT_FALSE(shown(*held, *where, block)) << "the reader's checksums tell";
  const auto again = place(*channel, block);
  ASSERT_TRUE(again);
  EXPECT_NE(again->offset_bytes(), where->offset_bytes());
  EXPECT_TRUE(shown(*held, *again, block));
  EXPECT_EQ(memory().leases, 1U);
}

TEST_F(PackedCalls, WhatMemoryHasNoRoomForMovesDownBlockByBlock) {
  WorkerOptions options = packing(options_with_devices(1, 1));
  options.nvme.devices[0].capacity_bytes = 2 * tier_bytes;
  start(options);
  use_policy("[tier.memory]\nhigh_watermark = \"90%\"\nlow_watermark = \"80%\"\n");
  const auto channel = connect_local();
  std::vector<BlockRef> files;
  for (std::uint64_t i = 0; i < 1300; ++i) files.push_back(owned("f" + std::to_string(i), test_page - i * 20));
  for (const BlockRef& block : files) {
    ASSERT_TRUE(reads_right(*channel, block));
    const auto used = [&] { return memory().resident_bytes + memory().orphaned_bytes - memory().compactable_bytes; };
    ASSERT_TRUE(loop_.work_until([&] { return used() <= tier_bytes / 100 * 91; }));
  }
  EXPECT_EQ(memory().foreground_evictions, 0U) << "no fill had to wait for room";
  EXPECT_GT(memory().resident_bytes, tier_bytes / 100 * 70);
  EXPECT_GT(shard_->tiers().mover().demoted_bytes(), 0U);
  EXPECT_EQ(shard_->tiers().mover().dropped_bytes(), 0U);
  const int reads = store_->reads();
  for (const BlockRef& block : files) ASSERT_TRUE(reads_right(*channel, block));
  EXPECT_EQ(store_->reads(), reads) << "each is in memory or on the device";
}

}  // namespace
}  // namespace hearth::worker::testing
