#include "tiering/segment.h"

#include <algorithm>

namespace hearth {
namespace {

constexpr std::uint64_t most_of_the_tier = 32;  // a segment is at most this part of it
constexpr std::uint32_t read_mask = 0444;

}  // namespace

std::optional<SegmentDomain> SegmentDomain::of(const BlockRef& block) {
  const BlockFile& file = block.file;
  if (file.uid == BlockFile::unknown_id || file.gid == BlockFile::unknown_id || file.mode == BlockFile::unknown_mode) {
    return std::nullopt;
  }
  return SegmentDomain{.attachment = block.attachment, .uid = file.uid, .gid = file.gid, .read_bits = file.mode & read_mask};
}

std::size_t SegmentDomainHash::operator()(const SegmentDomain& domain) const {
  std::uint64_t hash = domain.attachment.value;
  for (const std::uint64_t part : {domain.uid, domain.gid, domain.read_bits}) hash = (hash ^ part) * 0x9E3779B97F4A7C15ULL;
  return hash ^ (hash >> 32);
}

Packing Packing::of(const MemoryTierOptions& options) {
  Packing packing;
  const double share = std::min(options.grant_max_fraction, 1.0 / most_of_the_tier);
  const auto most = static_cast<std::uint64_t>(share * static_cast<double>(options.capacity_bytes));
  packing.segment_bytes = std::min(options.segment_bytes, most) / huge_granule_bytes * huge_granule_bytes;
  packing.below_bytes = std::min(options.pack_below_bytes, packing.segment_bytes);
  return packing;
}

}  // namespace hearth
