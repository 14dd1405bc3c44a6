#include "client/src/placement.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace hearth::client {
namespace {

void put_le64(unsigned char* at, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) at[i] = static_cast<unsigned char>(value >> (8 * i));
}

}  // namespace

std::uint64_t placement_hash(WorkerId worker, BlockId block) {
  std::array<unsigned char, 24> key;
  put_le64(key.data(), worker.value);
  put_le64(key.data() + 8, block.high);
  put_le64(key.data() + 16, block.low);
  return XXH3_64bits(key.data(), key.size());
}

double placement_score(const PlacementCandidate& candidate, BlockId block) {
  const std::uint64_t hash = placement_hash(candidate.worker, block);
  const double unit = (static_cast<double>(hash >> 11) + 0.5) * 0x1p-53;
  return -static_cast<double>(candidate.capacity_bytes) / std::log(unit);
}

std::vector<WorkerId> place(BlockId block, std::span<const PlacementCandidate> workers, std::size_t count) {
  std::vector<std::pair<double, WorkerId>> scored;
  scored.reserve(workers.size());
  for (const auto& candidate : workers) {
    if (candidate.capacity_bytes > 0) scored.emplace_back(placement_score(candidate, block), candidate.worker);
  }
  count = std::min(count, scored.size());
  std::partial_sort(scored.begin(), scored.begin() + static_cast<std::ptrdiff_t>(count), scored.end(),
                    [](const auto& a, const auto& b) {
                      return a.first != b.first ? a.first > b.first : a.second < b.second;
                    });
  std::vector<WorkerId> best;
  best.reserve(count);
  for (std::size_t i = 0; i < count; ++i) best.push_back(scored[i].second);
  return best;
}

}  // namespace hearth::client
