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

std::vector<LeaseId> LeaseTable::coldest(std::uint64_t bytes) const {
  struct Candidate {
    bool in_map;
    std::uint64_t last_access;
    const Block* block;
    LeaseId lease;
  };
  std::vector<Candidate> candidates;
  candidates.reserve(leases_.size());
  for (const auto& [id, lease] : leases_) {
    candidates.push_back({lease.block->place == Place::in_map, lease.block->last_access, lease.block.get(), id});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
    return std::tie(a.in_map, a.last_access, a.block, a.lease) < std::tie(b.in_map, b.last_access, b.block, b.lease);
  });
  std::vector<LeaseId> chosen;
  std::uint64_t back = 0;
  const Block* current = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.block != current) {
      if (back >= bytes) break;
      current = candidate.block;
      back += candidate.block->charged_bytes();
    }
    chosen.push_back(candidate.lease);
  }
  return chosen;
}

}  // namespace hearth
