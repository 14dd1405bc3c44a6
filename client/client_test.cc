// The parts of the client that need no peers.
#include "client/src/convert.h"
#include "client/src/grant_cache.h"
#include "client/src/placement.h"
#include "client/src/ttl_cache.h"
#include "common/crc32c.h"
#include "common/manual_clock.h"
#include "proto/hearth.pb.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <fcntl.h>

#include <cstring>
#include <map>
#include <thread>

namespace hearth::client {
namespace {

using std::chrono::milliseconds;

// ---- what comes over the wire

TEST(Convert, StoreOptionsGoThereAndComeBackAlsoWithAResolvedFile) {
  AttachmentOptions options;
  options.store_options = {{"endpoint", "http://127.0.0.1:9000"}, {"region", "eu"}};
  proto::Attachment attachment;
  to_proto(options, *attachment.mutable_options());
  EXPECT_EQ(to_attachment(attachment).options.store_options, options.store_options);
  proto::ResolveReply reply;
  reply.mutable_info()->set_type(proto::DIRECTORY);
  to_proto(options, *reply.mutable_options());
  const Result<Resolution> resolution = to_resolution("/a", reply, TimePoint{});
  ASSERT_TRUE(resolution);
  EXPECT_EQ(resolution->store_options, options.store_options);
}

// ---- placement

TEST(Placement, FollowsThePublishedVectors) {
  const std::vector<PlacementCandidate> workers{
      {WorkerId{1}, 1ULL << 30}, {WorkerId{2}, 2ULL << 30}, {WorkerId{0xdeadbeefcafef00dULL}, 4ULL << 30}};
  const BlockId block{0x0123456789abcdefULL, 0xfedcba9876543210ULL};
  EXPECT_EQ(placement_hash(WorkerId{1}, block), 0x741dc0082a056788ULL);
  EXPECT_EQ(placement_hash(WorkerId{2}, block), 0x1e1ea36639ab10a1ULL);
  EXPECT_EQ(placement_hash(WorkerId{0xdeadbeefcafef00dULL}, block), 0x820fa2a006d8226dULL);
  EXPECT_EQ(place(block, workers, 3), (std::vector<WorkerId>{WorkerId{0xdeadbeefcafef00dULL}, WorkerId{1}, WorkerId{2}}));
  EXPECT_EQ(place(BlockId{1, 2}, workers, 3), (std::vector<WorkerId>{WorkerId{2}, WorkerId{1}, WorkerId{0xdeadbeefcafef00dULL}}));
}

TEST(Placement, SpreadsBlocksByCapacity) {
  const std::vector<PlacementCandidate> workers{{WorkerId{7}, 100}, {WorkerId{8}, 200}, {WorkerId{9}, 300}};
  std::map<std::uint64_t, int> count;
  for (std::uint64_t i = 0; i < 12'000; ++i) ++count[place(BlockId{i, i * 31}, workers, 1)[0].value];
  EXPECT_NEAR(count[7], 2000, 200);
  EXPECT_NEAR(count[8], 4000, 200);
  EXPECT_NEAR(count[9], 6000, 200);
}

TEST(Placement, MovesOnlyTheShareOfAWorkerThatLeft) {
  const std::vector<PlacementCandidate> three{{WorkerId{7}, 100}, {WorkerId{8}, 100}, {WorkerId{9}, 100}};
  const std::vector<PlacementCandidate> two{{WorkerId{7}, 100}, {WorkerId{8}, 100}};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto before = place(BlockId{i, ~i}, three, 1);
    if (before[0] == WorkerId{9}) continue;
    EXPECT_EQ(before, place(BlockId{i, ~i}, two, 1));
  }
}

TEST(Placement, NeverChoosesAWorkerWithoutCapacity) {
  const std::vector<PlacementCandidate> workers{{WorkerId{7}, 0}, {WorkerId{8}, 1}};
  EXPECT_EQ(place(BlockId{3, 4}, workers, 5), std::vector<WorkerId>{WorkerId{8}});
}

// ---- paths

TEST(Paths, AreAbsoluteAndPlain) {
  for (const char* good : {"/", "/a", "/a/b.c", "/...", "/a\nb", "/.hidden"}) EXPECT_TRUE(check_path(good)) << good;
  for (const char* bad : {"", "a", "/a/", "//a", "/a//b", "/.", "/a/..", "/../a"}) {
    EXPECT_EQ(check_path(bad).code(), Code::invalid_argument) << bad;
  }
  EXPECT_EQ(check_path(std::string_view("/a\0b", 4)).code(), Code::invalid_argument);
}

TEST(Paths, SymlinksStayInsideOfTheNamespace) {
  EXPECT_EQ(*symlink_destination("/d/link", "file"), "/d/file");
  EXPECT_EQ(*symlink_destination("/d/link", "../other/./x"), "/other/x");
  EXPECT_EQ(*symlink_destination("/link", "d/"), "/d");
  EXPECT_EQ(symlink_destination("/d/link", "/etc/passwd").code(), Code::invalid_argument);
  EXPECT_EQ(symlink_destination("/d/link", "../../x").code(), Code::invalid_argument);
}

// ---- TtlCache

TEST(TtlCache, AnswersUntilTheTtlEnds) {
  TtlCache<int> cache(100);
  const TimePoint start{milliseconds(1000)};
  cache.put("/a", 1, start + milliseconds(10));
  EXPECT_EQ(cache.find("/a", start + milliseconds(9)), 1);
  EXPECT_EQ(cache.find("/a", start + milliseconds(10)), std::nullopt);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(TtlCache, IsBounded) {
  TtlCache<int> cache(160);
  for (int i = 0; i < 10'000; ++i) cache.put("/f" + std::to_string(i), i, TimePoint::max());
  EXPECT_LE(cache.size(), 160U);
  EXPECT_EQ(cache.find("/f9999", TimePoint{}), 9999);
}

TEST(TtlCache, ReplacesAndForgets) {
  TtlCache<int> cache(100);
  cache.put("/a", 1, TimePoint::max());
  cache.put("/a", 2, TimePoint::max());
  EXPECT_EQ(cache.find("/a", TimePoint{}), 2);
  cache.erase("/a");
  EXPECT_EQ(cache.find("/a", TimePoint{}), std::nullopt);
}

// ---- grants

MappedGrant::Parts parts_of(std::uint64_t number, std::size_t length, int seals) {
  const std::string content(length, static_cast<char>('a' + number));
  MappedGrant::Parts parts;
  parts.block = BlockId{number, number};
  parts.lease = LeaseName{.worker = WorkerId{1}, .connection = 5, .lease = number};
  parts.fd = UniqueFd(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(::write(parts.fd.get(), content.data(), length), static_cast<ssize_t>(length));
  EXPECT_EQ(::fcntl(parts.fd.get(), F_ADD_SEALS, seals), 0);
  parts.length_bytes = length;
  parts.chunk_checksums = chunk_checksums(std::as_bytes(std::span(content)));
  return parts;
}

std::shared_ptr<MappedGrant> grant_of(std::uint64_t number, std::size_t length, std::vector<std::uint64_t>* ended) {
  auto on_unmapped = [ended](const LeaseName& lease) { ended->push_back(lease.lease); };
  auto mapped = MappedGrant::map(parts_of(number, length, F_SEAL_SHRINK | F_SEAL_GROW), on_unmapped);
  EXPECT_TRUE(mapped);
  return *mapped;
}

TEST(MappedGrant, RefusesMemoryThatCouldShrinkUnderAReader) {
  EXPECT_EQ(MappedGrant::map(parts_of(1, 100, 0), nullptr).code(), Code::bad_frame);
  EXPECT_EQ(MappedGrant::map(parts_of(1, 100, F_SEAL_GROW), nullptr).code(), Code::bad_frame);
}

TEST(MappedGrant, RefusesABlockThatIsNotAllThere) {
  auto parts = parts_of(1, 100, F_SEAL_SHRINK);
  parts.length_bytes = 200;
  EXPECT_EQ(MappedGrant::map(std::move(parts), nullptr).code(), Code::bad_frame);
  auto wrong_sums = parts_of(1, 100, F_SEAL_SHRINK);
  wrong_sums.chunk_checksums.push_back(1);
  EXPECT_EQ(MappedGrant::map(std::move(wrong_sums), nullptr).code(), Code::bad_frame);
}

TEST(MappedGrant, MapsABlockThatBeginsInsideOfAnOsPage) {
  auto parts = parts_of(1, 10'000, F_SEAL_SHRINK);
  parts.fd_offset_bytes = 5000;
  parts.length_bytes = 5000;
  const std::string rest(5000, 'b');
  parts.chunk_checksums = chunk_checksums(std::as_bytes(std::span(rest)));
  auto mapped = MappedGrant::map(std::move(parts), nullptr);
  ASSERT_TRUE(mapped);
  ASSERT_TRUE((*mapped)->pin());
  EXPECT_EQ(std::memcmp((*mapped)->bytes().data(), rest.data(), rest.size()), 0);
  EXPECT_EQ((*mapped)->first_wrong(0, 5000, Verify::always), std::nullopt);
  (*mapped)->unpin();
}

TEST(MappedGrant, KeepsItsBytesUntilTheLastPinGoes) {
  std::vector<std::uint64_t> ended;
  auto grant = grant_of(3, 1000, &ended);
  ASSERT_TRUE(grant->pin());
  ASSERT_TRUE(grant->pin());
  grant->retire();
  EXPECT_FALSE(grant->pin());
  EXPECT_EQ(grant->bytes()[999], std::byte{'d'});
  grant->unpin();
  EXPECT_TRUE(ended.empty());
  grant->unpin();
  EXPECT_EQ(ended, std::vector<std::uint64_t>{3});
  grant->retire();
  EXPECT_EQ(ended.size(), 1U);
}

TEST(MappedGrant, FindsTheChunkWithAWrongByte) {
  auto parts = parts_of(1, 3 * checksum_chunk_bytes, F_SEAL_SHRINK);
  parts.chunk_checksums[1] ^= 1;
  auto mapped = MappedGrant::map(std::move(parts), nullptr);
  ASSERT_TRUE(mapped && (*mapped)->pin());
  EXPECT_EQ((*mapped)->first_wrong(0, 10, Verify::once), std::nullopt);
  EXPECT_EQ((*mapped)->first_wrong(10, 3 * checksum_chunk_bytes - 10, Verify::once), checksum_chunk_bytes);
  EXPECT_EQ((*mapped)->first_wrong(0, 3 * checksum_chunk_bytes, Verify::off), std::nullopt);
  (*mapped)->unpin();
}

TEST(MappedGrant, UnmapsOnceUnderManyReaders) {
  std::atomic<int> ended{0};
  auto mapped = MappedGrant::map(parts_of(1, 4096, F_SEAL_SHRINK), [&ended](const LeaseName&) { ++ended; });
  ASSERT_TRUE(mapped);
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([grant = *mapped] {
      while (grant->pin()) {
        EXPECT_EQ(grant->bytes()[4095], std::byte{'b'});
        grant->unpin();
      }
    });
  }
  (*mapped)->retire();
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(ended, 1);
}

TEST(GrantCache, KeepsWithinItsBytesAndDropsTheColdest) {
  std::vector<std::uint64_t> ended;
  GrantCache cache(3000, 100);
  for (std::uint64_t i = 1; i <= 3; ++i) cache.insert(grant_of(i, 1000, &ended));
  EXPECT_EQ(cache.mapped_bytes(), 3000U);
  cache.insert(grant_of(4, 1000, &ended));
  EXPECT_EQ(ended, std::vector<std::uint64_t>{1});
  EXPECT_NE(cache.find(BlockId{2, 2}), nullptr);  // used since: gets a second chance
  cache.insert(grant_of(5, 1000, &ended));
  EXPECT_EQ(ended, (std::vector<std::uint64_t>{1, 3}));
  EXPECT_EQ(cache.mapped_bytes(), 3000U);
}

TEST(GrantCache, KeepsWithinItsNumberOfDescriptors) {
  std::vector<std::uint64_t> ended;
  GrantCache cache(1 << 30, 2);
  for (std::uint64_t i = 1; i <= 4; ++i) cache.insert(grant_of(i, 100, &ended));
  EXPECT_EQ(cache.size(), 2U);
  EXPECT_EQ(ended.size(), 2U);
}

TEST(GrantCache, GivesBackWhatIsRecalledWhenItsReadersAreDone) {
  std::vector<std::uint64_t> ended;
  GrantCache cache(1 << 30, 100);
  auto busy = grant_of(1, 1000, &ended);
  cache.insert(busy);
  cache.insert(grant_of(2, 1000, &ended));
  cache.insert(grant_of(3, 1000, &ended));
  ASSERT_TRUE(busy->pin());
  const std::vector<std::uint64_t> leases{1, 2};
  cache.recall(WorkerId{99}, leases);  // another worker's leases have the same numbers
  EXPECT_EQ(cache.size(), 3U);
  cache.recall(WorkerId{1}, leases);
  EXPECT_EQ(ended, std::vector<std::uint64_t>{2});
  busy->unpin();
  EXPECT_EQ(ended, (std::vector<std::uint64_t>{2, 1}));
  EXPECT_EQ(cache.size(), 1U);
}

TEST(GrantCache, ForgetsTheLeasesOfALostConnection) {
  std::vector<std::uint64_t> ended;
  GrantCache cache(1 << 30, 100);
  cache.insert(grant_of(1, 1000, &ended));
  cache.drop_connection(WorkerId{1}, 4);
  EXPECT_EQ(cache.size(), 1U);
  cache.drop_connection(WorkerId{1}, 5);
  EXPECT_EQ(cache.size(), 0U);
}

// ---- readahead

}  // namespace
}  // namespace hearth::client
