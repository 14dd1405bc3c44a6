#include "worker/sequence.h"

#include <algorithm>

namespace hearth::worker {

namespace {
constexpr std::size_t max_blocks_per_connection = 64;
constexpr std::uint64_t min_reorder_bytes = 1ULL << 20;  // the kernel's largest read request
constexpr std::uint32_t requests_ahead = 4;
constexpr std::uint32_t reads_after_jump = 4;
}  // namespace

AccessPattern SequenceTracker::saw(ConnectionId connection, const BlockRef& block, std::uint64_t offset,
                                   std::uint64_t length) {
  if (length == 0) return AccessPattern::unknown;
  Runs& runs = connections_[connection];
  if (runs.size() >= max_blocks_per_connection && !runs.contains(block.id)) runs.erase(runs.begin());
  Run& run = runs[block.id];

  const std::uint64_t reorder = std::max(min_reorder_bytes, 4 * length);
  const bool near = offset <= run.furthest + reorder && offset + reorder >= run.furthest;
  const bool again = run.reads > 0 && run.began == 0 && offset == 0;
  if (!near || again) {
    const bool jumped = run.reads > 0 && !again;
    run = Run{};
    run.after_jump = jumped;
  }
  const std::uint64_t span = run.furthest - run.began;
  if (run.reads > 0 && offset + length <= run.furthest && run.read_bytes >= span) run.reads_behind += 1;
  run.began = run.reads == 0 ? offset : std::min(run.began, offset);
  run.reads += 1;
  run.read_bytes += length;
  run.furthest = std::max(run.furthest, offset + length);
  return pattern_of(run, block);
}

AccessPattern SequenceTracker::pattern_of(const Run& run, const BlockRef& block) {
  const std::uint64_t span = run.furthest - run.began;
  const bool in_order = 2 * run.read_bytes > span && 2 * run.reads_behind < run.reads;
  if (in_order && run.began == 0 && 2 * span >= block.length_bytes) return AccessPattern::whole_file;
  if (run.after_jump && run.reads < reads_after_jump) return AccessPattern::random;
  if (run.reads < 2) return AccessPattern::unknown;
  return in_order ? AccessPattern::sequential : AccessPattern::random;
}

ReadaheadAdvice SequenceTracker::ahead(ConnectionId connection, const BlockRef& block, std::uint64_t ahead_bytes,
                                       std::uint32_t pages_per_read) const {
  const auto runs = connections_.find(connection);
  if (ahead_bytes == 0 || runs == connections_.end()) return {};
  const auto found = runs->second.find(block.id);
  if (found == runs->second.end() || found->second.reads < 2) return {};
  const Run& run = found->second;

  const std::uint64_t page_size = block.page_size_bytes;
  const std::uint64_t next_page = (run.furthest + page_size - 1) / page_size;
  const std::uint64_t pages = (ahead_bytes + page_size - 1) / page_size;
  const std::uint64_t ahead = std::max<std::uint64_t>(pages, pages_per_read > 1 ? requests_ahead * pages_per_read : 0U);
  const auto end = static_cast<std::uint32_t>(std::min<std::uint64_t>(next_page + ahead, block.page_count()));
  const std::uint32_t first = std::max(static_cast<std::uint32_t>(next_page), run.asked_until);
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
