#include "tiering/lease_table.h"

#include <algorithm>
#include <tuple>

namespace hearth {

LeaseId LeaseTable::add(std::shared_ptr<Block> block) {
  const LeaseId id{next_++};
  auto memory = block->memory;
  leases_.emplace(id, Lease{.block = std::move(block), .memory = std::move(memory)});
  return id;
}

LeaseId LeaseTable::add(std::shared_ptr<Segment> segment) {
  const LeaseId id{next_++};
  auto memory = segment->memory;
  leases_.emplace(id, Lease{.segment = std::move(segment), .memory = std::move(memory)});
  return id;
}

std::optional<LeaseTable::Lease> LeaseTable::remove(LeaseId id) {
  const auto found = leases_.find(id);
  if (found == leases_.end()) return std::nullopt;
  Lease lease = std::move(found->second);
  leases_.erase(found);
  return lease;
}

const LeaseTable::Lease* LeaseTable::find(LeaseId id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

LeaseTable::Candidate LeaseTable::candidate(LeaseId id, const Lease& lease) {
  if (lease.segment != nullptr) {
    const Segment& segment = *lease.segment;
    return {segment.stage != Segment::Stage::left, segment.last_access, &segment, id, segment.charged_bytes};
  }
  const Block& block = *lease.block;
  return {block.place == Place::in_map, block.last_access, &block, id, block.charged_bytes()};
}

std::vector<LeaseId> LeaseTable::coldest(std::uint64_t bytes) const {
  std::vector<Candidate> candidates;
  candidates.reserve(leases_.size());
  for (const auto& [id, lease] : leases_) candidates.push_back(candidate(id, lease));
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.in_map, a.last_access, a.held, a.lease) < std::tie(b.in_map, b.last_access, b.held, b.lease);
  });
  std::vector<LeaseId> chosen;
  std::uint64_t back = 0;
  const void* current = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.held != current) {
      if (back >= bytes) break;
      current = candidate.held;
      back += candidate.charged_bytes;
    }
    chosen.push_back(candidate.lease);
  }
  return chosen;
}

}  // namespace hearth
