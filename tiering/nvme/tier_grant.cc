// Leases: a descriptor for a complete block, and what holds its bytes while it is out.
#include "tiering/nvme/disk_tier_impl.h"

#include "tiering/nvme/sector_sums.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <utility>

namespace hearth {
namespace {

constexpr std::uint64_t lease_bit = 1ULL << 63;
// Of all tiers of the process: a lease of a device that was replaced is no lease of its successor.
std::atomic<std::uint64_t> next_lease{1};

}  // namespace

Task<BlockGrant> DiskTierImpl::grant(BlockRef block, Deadline deadline) {
  CO_CHECK_OK(usable());
  CO_CHECK_OK(validate(block, PageIndex{0}));
  auto granted = co_await calls_.run(grant_now(std::move(block), deadline), deadline);
  co_return granted;
}

Task<BlockGrant> DiskTierImpl::grant_now(BlockRef ref, Deadline deadline) {
  const BlockShape shape = BlockShape::of(ref);
  const std::optional<PageSlot> first = find_page(ref, PageIndex{0});
  if (!first || !pages_.block(pages_.page(*first).block).complete()) {
    co_return error(Code::not_found, "block " + shape.id.to_hex() + " is not fully resident; read it through the worker");
  }
  const BlockSlot at = pages_.page(*first).block;
  const std::uint64_t cost = shape.charge();
  if (static_cast<double>(cost) > options_.grant_max_fraction * static_cast<double>(options_.capacity_bytes)) {
    co_return error(Code::unsupported, "block " + shape.id.to_hex() + " costs " + std::to_string(cost) +
                                           " bytes, more than grant_max_fraction of the tier; read it through the worker");
  }
  // From now on the block goes whole or stays.
  if (pages_.block(at).leases++ == 0) {
    leased_bytes_ += cost;
    exclude_from_eviction(at);
  }
  FileUse file = files_.use(shape.id);
  Status status = co_await files_.ensure_open(file.shared(), DiskOpen::existing);
  std::vector<std::uint32_t> checksums;
  if (status) {
    auto verified = co_await verify_block(shape, deadline);
    if (verified) {
      checksums = std::move(*verified);
    } else {
      status = std::move(verified).error();
    }
  }
  if (status) status = co_await cut_to_length(file.shared(), shape);
  if (status && file->detached) status = error(Code::not_found, "block " + shape.id.to_hex() + " was freed meanwhile");
  Result<UniqueFd> fd = status ? device_.disk().share(*file->direct) : Result<UniqueFd>(status.error());
  if (!fd) {
    if (!file->detached) end_lease(shape.id);
    co_return std::move(fd).error();
  }
  const std::uint64_t number = lease_bit | next_lease.fetch_add(1, std::memory_order_relaxed);
  Lease lease;
  lease.block = shape.id;
  lease.file = std::move(file);
  lease.bytes = cost;
  lease.last_access = ++accesses_;
  leases_.emplace(number, std::move(lease));
  BlockGrant grant;
  grant.lease = LeaseId{number};
  grant.fd = std::move(*fd);
  grant.length_bytes = shape.length_bytes;
  grant.chunk_checksums = std::move(checksums);
  co_return grant;
}

// Reads every page that was not read whole since the restart; the checksums of the block's chunks.
Task<std::vector<std::uint32_t>> DiskTierImpl::verify_block(BlockShape shape, Deadline deadline) {
  std::vector<std::uint32_t> chunks;
  for (std::uint32_t page = 0; page < shape.page_count(); ++page) {
    const std::optional<BlockSlot> at = pages_.find_block(shape.id);
    const std::optional<PageSlot> slot = at && !pages_.block(*at).doomed ? pages_.find(*at, page) : std::nullopt;
    if (!slot || pages_.page(*slot).state() != PageState::resident) {
      co_return error(Code::not_found, "block " + shape.id.to_hex() + " was freed meanwhile");
    }
    const std::uint32_t length = shape.page_length(page);
    const std::span<const std::uint32_t> known = sums_.get(*slot);
    std::vector<std::uint32_t> sums(known.begin(), known.end());
    const bool verified = pages_.page(*slot).verified != 0;
    if (verified && sums.empty() && length > page_without_sums_bytes) {
      CO_TRY(loaded, co_await load_sums(*slot, length, pages_.page(*slot).crc, 0, sector_count(length)));
      sums = std::move(loaded);
    }
    if (!verified || sums.empty()) {
      if (deadline.expired(clock_.now())) co_return error(Code::deadline_exceeded, "the block could not be verified in time");
      CO_TRY(fetched, co_await fetch(shape, page, *slot, 0, length));
      sums = std::move(fetched.sums);
    }
    const std::vector<std::uint32_t> of_page = chunks_of_sector_sums(sums, length);
    chunks.insert(chunks.end(), of_page.begin(), of_page.end());
  }
  co_return chunks;
}

// Who reads the descriptor sees the block end where it ends, not at a sector.
Task<> DiskTierImpl::cut_to_length(std::shared_ptr<TierFile> file, BlockShape shape) {
  while (file->cutting) CO_CHECK_OK(co_await quiet_.wait());  // by another grant: not before it is done
  if (file->length_bytes == shape.length_bytes) co_return ok();
  file->cutting = true;
  const std::uint64_t before = file->length_bytes;
  const std::uint32_t last = shape.page_count() - 1;
  file->length_bytes = shape.length_bytes;  // reads that begin now do not need what is cut off
  while (file->readers.contains(last)) CO_CHECK_OK(co_await quiet_.wait());
  Status cut = co_await device_.truncate(*file->direct, shape.length_bytes);
  if (!cut) file->length_bytes = before;
  file->cutting = false;
  if (quiet_.has_waiters()) quiet_.notify_all();
  co_return cut;
}

// The map's side of a lease that ended; not for one whose file was detached: that block has left the map.
void DiskTierImpl::end_lease(const BlockId& id) {
  const std::optional<BlockSlot> at = pages_.find_block(id);
  if (!at || pages_.block(*at).leases == 0) return;
  if (--pages_.block(*at).leases > 0 || pages_.block(*at).doomed) return;
  leased_bytes_ -= pages_.block(*at).shape().charge();
  allow_eviction(*at);
}

void DiskTierImpl::release(LeaseId id) {
  const auto found = leases_.find(id.value);
  if (found == leases_.end()) return;
  const Lease lease = std::move(found->second);
  leases_.erase(found);
  if (!lease.file->detached) end_lease(lease.block);
}

std::vector<LeaseId> DiskTierImpl::leases_to_recall(std::uint64_t bytes) const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> by_age;
  for (const auto& [number, lease] : leases_) by_age.emplace_back(lease.last_access, number);
  std::sort(by_age.begin(), by_age.end());
  std::vector<LeaseId> ids;
  std::uint64_t gained = 0;
  for (const auto& [age, number] : by_age) {
    if (gained >= bytes) break;
    gained += leases_.at(number).bytes;
    ids.push_back(LeaseId{number});
  }
  return ids;
}

}  // namespace hearth
