#include "worker/sequence.h"

#include <algorithm>

namespace hearth::worker {

namespace {
constexpr std::size_t max_blocks_per_connection = 64;
constexpr std::uint64_t min_reorder_bytes = 1ULL << 20;  // the kernel's largest read request
constexpr std::uint32_t requests_ahead = 4;
}  // namespace

ReadaheadAdvice SequenceTracker::note(ConnectionId connection, const BlockRef& block, std::uint64_t offset,
                                      std::uint64_t length, std::uint32_t pages_per_read) {
  if (readahead_pages_ == 0 || length == 0) return {};
  Runs& runs = connections_[connection];
  if (runs.size() >= max_blocks_per_connection && !runs.contains(block.id)) runs.erase(runs.begin());
  Run& run = runs[block.id];

  const std::uint64_t reorder = std::max(min_reorder_bytes, 4 * length);
  const bool near = offset <= run.furthest + reorder && offset + reorder >= run.furthest;
  if (!near) run = Run{};
  run.reads += 1;
  run.furthest = std::max(run.furthest, offset + length);
  if (run.reads < 2) return {};

  const auto next_page = static_cast<std::uint32_t>((run.furthest + block.page_size_bytes - 1) / block.page_size_bytes);
  const std::uint64_t ahead = std::max(readahead_pages_, pages_per_read > 1 ? requests_ahead * pages_per_read : 0U);
  const std::uint64_t wanted_end = next_page + ahead;
  const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted_end, block.page_count()));
  const std::uint32_t first = std::max(next_page, run.asked_until);
  if (first >= end) return {};
  if (end - first < pages_per_read && end < block.page_count() && first > next_page) return {};
  return {first, end};
}

void SequenceTracker::started(ConnectionId connection, const BlockId& block, std::uint32_t end) {
  const auto runs = connections_.find(connection);
  if (runs == connections_.end()) return;
  const auto run = runs->second.find(block);
  if (run != runs->second.end()) run->second.asked_until = std::max(run->second.asked_until, end);
}

}  // namespace hearth::worker
