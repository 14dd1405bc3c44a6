// Reads in place: the worker puts pages where the reader's descriptor shows them, and sends their checksums.
#include "common/block_wire.h"
#include "common/crc32c.h"
#include "worker/test_cluster.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstring>

namespace hearth::worker {
namespace {

using namespace hearth::worker::testing;

class ReadsInPlace : public Cluster {
 protected:
  struct Lease {
    std::uint64_t id = 0;
    UniqueFd fd;
    bool in_filling = false;
  };
  Result<Lease> lease(RpcChannel& channel, const BlockRef& block) {
    proto::GrantRequest request;
    block_to_wire(block, *request.mutable_block());
    request.set_in_filling(true);
    std::vector<std::byte> checksums(4096);
    TRY(reply, call(channel, Method::grant, request, checksums));
    proto::GrantReply body;
    EXPECT_TRUE(body.ParseFromString(reply.body));
    EXPECT_EQ(body.in_filling(), reply.payload_bytes == 0);
    return Lease{.id = body.lease_id(), .fd = std::move(reply.fds.at(0)), .in_filling = body.in_filling()};
  }
  // The checksums of the chunks of the range.
  Result<std::vector<std::uint32_t>> read_in_place(RpcChannel& channel, const BlockRef& block, std::uint64_t lease,
                                                   std::uint64_t offset, std::uint64_t length) {
    proto::ReadRequest request;
    block_to_wire(block, *request.mutable_block());
    request.set_offset_bytes(offset);
    request.set_length_bytes(length);
    request.set_lease_id(lease);
    std::vector<std::uint32_t> checksums((length + checksum_chunk_bytes - 1) / checksum_chunk_bytes);
    TRY(reply, call(channel, Method::read, request, std::as_writable_bytes(std::span(checksums))));
    EXPECT_EQ(reply.payload_bytes, checksums.size() * 4);
    return checksums;
  }
  static std::vector<std::byte> shown(const Lease& lease, std::uint64_t offset, std::uint64_t length) {
    std::vector<std::byte> bytes(length);
    EXPECT_EQ(::pread(lease.fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)), static_cast<ssize_t>(length));
    return bytes;
  }
};

TEST_F(ReadsInPlace, PutThePagesWhereTheDescriptorShowsThem) {
  start();
  const auto channel = connect_local();
  const BlockRef block = file("a", 5 * test_page + 7);
  const auto held = lease(*channel, block);
  ASSERT_TRUE(held) << held.error().message();
  EXPECT_TRUE(held->in_filling);
  for (const std::uint64_t first : {2U, 0U, 4U}) {
    const std::uint64_t offset = first * test_page;
    const std::uint64_t length = std::min<std::uint64_t>(2 * test_page, block.length_bytes - offset);
    const auto checksums = read_in_place(*channel, block, held->id, offset, length);
    ASSERT_TRUE(checksums) << checksums.error().message();
    const std::vector<std::byte> bytes = shown(*held, offset, length);
    EXPECT_TRUE(is_oracle(bytes, "a", "v1", offset));
    EXPECT_EQ(*checksums, chunk_checksums(bytes));
  }
  EXPECT_EQ(store_->reads(), 6) << "each page once";
  const auto again = lease(*channel, block);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->in_filling) << "complete now";
}

TEST_F(ReadsInPlace, NeedALeaseOfTheirOwnConnection) {
  start();
  const auto channel = connect_local();
  const auto other = connect_local();
  const BlockRef block = file("a", 2 * test_page);
  const auto held = lease(*channel, block);
  ASSERT_TRUE(held);
  EXPECT_EQ(read_in_place(*other, block, held->id, 0, test_page).code(), Code::not_found);
  EXPECT_EQ(read_in_place(*channel, block, held->id + 1, 0, test_page).code(), Code::not_found);
  EXPECT_EQ(store_->reads(), 0);
}

TEST_F(ReadsInPlace, OfAnotherBlockThanTheLeasedAreRefused) {
  start();
  const auto channel = connect_local();
  const auto held = lease(*channel, file("a", 2 * test_page));
  ASSERT_TRUE(held);
  EXPECT_EQ(read_in_place(*channel, file("b", 2 * test_page), held->id, 0, test_page).code(), Code::not_found);
  EXPECT_EQ(store_->reads(), 0);
}

TEST_F(ReadsInPlace, BeginAndEndAtChunks) {
  start();
  const auto channel = connect_local();
  const BlockRef block = file("a", 2 * test_page + 5);
  const auto held = lease(*channel, block);
  ASSERT_TRUE(held);
  EXPECT_EQ(read_in_place(*channel, block, held->id, 1, test_page).code(), Code::invalid_argument);
  EXPECT_EQ(read_in_place(*channel, block, held->id, 0, test_page - 1).code(), Code::invalid_argument);
  EXPECT_TRUE(read_in_place(*channel, block, held->id, 2 * test_page, 5));
}

TEST_F(ReadsInPlace, SayWhenThereIsNoRoomAndFetchNothing) {
  WorkerOptions options = small_options();
  options.memory.capacity_bytes = 4 * test_page;
  start(options);
  keep_memory_full();
  const auto channel = connect_local();
  const BlockRef full = file("full", 4 * test_page);
  ASSERT_TRUE(load(*channel, full));
  ASSERT_TRUE(grant(*channel, full));
  const int before = store_->reads();
  const BlockRef other = file("other", 2 * test_page);
  const auto held = lease(*channel, other);
  if (held) {
    EXPECT_EQ(read_in_place(*channel, other, held->id, 0, test_page).code(), Code::no_space);
  } else {
    EXPECT_EQ(held.code(), Code::no_space);
  }
  EXPECT_EQ(store_->reads(), before);
  EXPECT_TRUE(reads_right(*channel, other));
}

TEST_F(ReadsInPlace, AreNotOfferedWhereThePolicyMayKeepThePageElsewhere) {
  start();
  use_policy("[defaults]\nadmission = \"second-read\"\n");
  const auto channel = connect_local();
  EXPECT_EQ(lease(*channel, file("a", 2 * test_page)).code(), Code::unsupported);
  use_policy("[defaults]\nadmission = \"never\"\n");
  EXPECT_EQ(lease(*channel, file("a", 2 * test_page)).code(), Code::unsupported);
}

TEST_F(ReadsInPlace, OfABlockThatWasFreedGoAnotherWay) {
  start();
  const auto channel = connect_local();
  const BlockRef block = file("a", 4 * test_page);
  const auto held = lease(*channel, block);
  ASSERT_TRUE(held);
  ASSERT_TRUE(read_in_place(*channel, block, held->id, 0, test_page));
  proto::FreeBlocksRequest request;
  request.set_block_ids(block_ids_to_wire({block.id}));
  ASSERT_TRUE(call(*channel, Method::free_blocks, request));
  EXPECT_EQ(read_in_place(*channel, block, held->id, test_page, test_page).code(), Code::no_space);
  EXPECT_TRUE(is_oracle(shown(*held, 0, test_page), "a", "v1", 0)) << "what was shown stays";
}

}  // namespace
}  // namespace hearth::worker
