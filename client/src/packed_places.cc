#include "client/src/packed_places.h"

#include "common/crc32c.h"

#include <algorithm>
#include <utility>

namespace hearth::client {
namespace {

constexpr std::size_t most_chunks = 64;  // one bit each

// The first chunk among `unverified` whose bytes are not what they should be.
std::optional<std::size_t> first_wrong_chunk(std::span<const std::byte> block, std::span<const std::uint32_t> checksums,
                                             std::uint64_t unverified) {
  for (std::size_t chunk = 0; chunk < checksums.size(); ++chunk) {
    if ((unverified >> chunk & 1) == 0) continue;
    const std::size_t begin = chunk * checksum_chunk_bytes;
    const auto bytes = block.subspan(begin, std::min<std::size_t>(checksum_chunk_bytes, block.size() - begin));
    if (crc32c(bytes) != checksums[chunk]) return chunk;
  }
  return std::nullopt;
}

// One bit for each chunk that [offset, offset + length) touches.
std::uint64_t chunk_bits(std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t first = offset / checksum_chunk_bytes;
  const std::uint64_t last = (offset + length - 1) / checksum_chunk_bytes;
  const std::uint64_t up_to_last = last + 1 == most_chunks ? ~0ULL : (1ULL << (last + 1)) - 1;
  return up_to_last & ~((1ULL << first) - 1);
}

}  // namespace

void PackedPlaces::learn(const BlockId& block, PackedBlock place) {
  const std::uint64_t chunks = (place.length_bytes + checksum_chunk_bytes - 1) / checksum_chunk_bytes;
  if (max_per_shard_ == 0 || chunks == 0 || chunks > most_chunks || place.chunk_checksums.size() != chunks) return;
  Shard& shard = shard_of(block);
  std::lock_guard lock(shard.mutex);
  forget(shard, block);
  make_room(shard);
  shard.order.push_back(Entry{.block = block, .place = std::move(place), .segment = nullptr});
  shard.index.emplace(block, std::prev(shard.order.end()));
}

PackedPlaces::Found PackedPlaces::find(const BlockId& block, std::uint64_t offset, std::uint64_t length, Verify verify) {
  Found found;
  Shard& shard = shard_of(block);
  std::uint64_t in_segment = 0;
  std::uint64_t block_length = 0;
  std::uint64_t unverified = 0;
  std::vector<std::uint32_t> checksums;
  {
    std::lock_guard lock(shard.mutex);
    const auto known = shard.index.find(block);
    if (known == shard.index.end()) return found;
    Entry& entry = *known->second;
    if (!entry.segment) entry.segment = grants_.find(entry.place.segment);
    if (!entry.segment || length == 0 || offset + length > entry.place.length_bytes) return found;
    if (!entry.segment->pin()) {
      entry.segment = nullptr;  // given back; it may be granted again
      return found;
    }
    found.segment = entry.segment;
    entry.recently_used = true;
    in_segment = entry.place.offset_bytes;
    block_length = entry.place.length_bytes;
    const std::uint64_t touched = verify == Verify::off ? 0 : chunk_bits(offset, length);
    unverified = verify == Verify::always ? touched : touched & ~entry.verified;
    if (unverified != 0) checksums = entry.place.chunk_checksums;
  }
  found.segment->touch();
  const std::span<const std::byte> segment = found.segment->bytes();
  if (in_segment > segment.size() || block_length > segment.size() - in_segment) {
    std::lock_guard lock(shard.mutex);
    forget(shard, block);
    std::exchange(found.segment, nullptr)->unpin();
    return found;
  }
  const std::span<const std::byte> bytes = segment.subspan(in_segment, block_length);
  if (unverified != 0) {
    const std::optional<std::size_t> wrong = first_wrong_chunk(bytes, checksums, unverified);
    std::lock_guard lock(shard.mutex);
    if (wrong) {
      forget(shard, block);
      found.worker = found.segment->lease().worker;
      found.wrong = *wrong * checksum_chunk_bytes;
      std::exchange(found.segment, nullptr)->unpin();
      return found;
    }
    const auto known = shard.index.find(block);
    const bool same = known != shard.index.end() && known->second->segment == found.segment && known->second->place.offset_bytes == in_segment;
    if (same) known->second->verified |= unverified;
  }
  found.bytes = bytes.subspan(offset, length);
  return found;
}

void PackedPlaces::forget(Shard& shard, const BlockId& block) {
  const auto known = shard.index.find(block);
  if (known == shard.index.end()) return;
  shard.order.erase(known->second);
  shard.index.erase(known);
}

// Two rounds at most: the first may only clear second-chance bits.
void PackedPlaces::make_room(Shard& shard) const {
  while (shard.order.size() >= max_per_shard_) {
    const auto coldest = shard.order.begin();
    if (std::exchange(coldest->recently_used, false)) {
      shard.order.splice(shard.order.end(), shard.order, coldest);
      continue;
    }
    shard.index.erase(coldest->block);
    shard.order.erase(coldest);
  }
}

}  // namespace hearth::client
