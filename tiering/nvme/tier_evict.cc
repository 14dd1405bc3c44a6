// Giving room back: pages are punched out of their file, neighbours together; a file without pages is unlinked.
#include "tiering/nvme/disk_tier_impl.h"

#include "common/log.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t victims_per_round = 256;

}  // namespace

// Chooses the coldest pages of at least `bytes` and lets them go; their bytes come back later (room_ tells).
std::uint64_t DiskTierImpl::evict(std::uint64_t bytes) {
  std::map<BlockSlot, std::vector<PageSlot>> chosen;
  std::uint64_t freed = 0;
  const EvictionPolicy::Evictable allowed = [this](EvictionSlot slot) { return evictable(slot); };
  for (std::size_t count = 0; freed < bytes && count < victims_per_round; ++count) {
    const std::optional<EvictionSlot> victim = policy_->victim(allowed);
    if (!victim) break;
    freed += charge_of(*victim);
    chosen[pages_.page(*victim).block].push_back(*victim);
    begin_leaving(*victim, Removal::evicted);
  }
  totals_.evicted_bytes += freed;
  for (auto& [block, slots] : chosen) {
    const Status spawned = tasks_.spawn(give_back(block, slots), "evict_cache_pages");
    if (!spawned) stuck_pages_[block].insert(stuck_pages_[block].end(), slots.begin(), slots.end());
  }
  return freed;
}

void DiskTierImpl::evict_to_watermark() {
  const std::uint64_t staying = budget_.total() - budget_.leaving;
  const auto limit = static_cast<double>(budget_.limit());
  if (static_cast<double>(staying) <= high_watermark_ * limit) return;
  const auto low = static_cast<std::uint64_t>(low_watermark_ * limit);
  if (staying > low) evict(staying - low);
}

Task<> DiskTierImpl::give_back(BlockSlot at, std::vector<PageSlot> slots) {
  const BlockJob job(jobs_, at, quiet_);
  const BlockId id = pages_.block(at).id;
  const auto read_by_someone = [this, &slots, &id] {
    return std::any_of(slots.begin(), slots.end(), [&](PageSlot slot) { return files_.has_readers(id, pages_.page(slot).page); });
  };
  // Nor under begin_whole(): allocating the file would fill the holes again.
  while (!pages_.block(at).doomed && (pages_.block(at).cleaning || read_by_someone())) CO_CHECK_OK(co_await quiet_.wait());
  const BlockEntry& block = pages_.block(at);
  if (block.doomed) co_return ok();  // goes with its file
  if (block.pages == slots.size() && !whole_.contains(at) && !allocated_unused_.contains(at)) {
    doom(at, Removal::evicted);
    co_return ok();
  }
  Status punched = co_await punch(at, slots);
  if (pages_.block(at).doomed) co_return ok();
  if (!punched) {
    // Still in the file, so still billed; tried again when the device is well.
    std::vector<PageSlot>& stuck = stuck_pages_[at];
    for (const PageSlot slot : slots) stuck_bytes_ += charge_of(slot);
    stuck.insert(stuck.end(), slots.begin(), slots.end());
    room_changed();
    co_return ok();
  }
  for (const PageSlot slot : slots) {
    TierBudget::uncharge(budget_.leaving, charge_of(slot));
    pages_.remove(slot);
  }
  if (pages_.block(at).pages == 0 && !whole_.contains(at) && !allocated_unused_.contains(at)) doom(at, Removal::evicted);
  room_changed();
  co_return ok();
}

Task<> DiskTierImpl::punch(BlockSlot at, std::vector<PageSlot> slots) {
  const BlockShape shape = pages_.block(at).shape();
  std::vector<std::uint32_t> numbers;
  for (const PageSlot slot : slots) numbers.push_back(pages_.page(slot).page);
  std::sort(numbers.begin(), numbers.end());
  FileUse file = files_.use(shape.id);
  Status opened = co_await files_.ensure_open(file.shared(), DiskOpen::existing);
  if (opened.code() == Code::not_found) co_return ok();
  if (!opened) co_return opened;
  for (std::size_t first = 0; first < numbers.size();) {
    std::size_t last = first;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    const std::uint64_t begin = shape.page_offset(numbers[first]);
    const std::uint64_t end = shape.page_offset(numbers[last]) + shape.page_charge(numbers[last]);
    CO_CHECK_OK(co_await device_.punch(*file->direct, begin, end - begin));
    first = last + 1;
  }
  co_return ok();
}

// The block is doomed: nobody enters it any more. Its pages and the block leave the map with its name.
Task<> DiskTierImpl::unlink(BlockSlot at) {
  const BlockShape shape = pages_.block(at).shape();
  const auto in_use = [this, at] {
    bool found = false;
    pages_.for_each_page(at, [&](PageSlot slot) { found = found || pages_.page(slot).state() == PageState::filling; });
    return found || jobs_.contains(at) || files_.is_closing(pages_.block(at).id);
  };
  while (in_use()) CO_CHECK_OK(co_await quiet_.wait());
  const auto stuck = stuck_pages_.find(at);
  if (stuck != stuck_pages_.end()) {
    for (const PageSlot slot : stuck->second) stuck_bytes_ -= charge_of(slot);
    stuck_pages_.erase(stuck);
  }
  Status removed = co_await device_.remove(block_file_name(shape.id));
  if (!removed && removed.code() != Code::not_found) {
    std::uint64_t billed = 0;
    pages_.for_each_page(at, [&](PageSlot slot) { billed += charge_of(slot); });
    const auto allocated = allocated_unused_.find(at);
    if (allocated != allocated_unused_.end()) billed += allocated->second;
    note_stuck(stuck_blocks_, at, billed);
    room_changed();
    co_return ok();  // the health knows; tried again when the device is well
  }
  // A descriptor that the cache of open files let go of meanwhile holds the bytes as well.
  while (files_.is_closing(shape.id)) CO_CHECK_OK(co_await quiet_.wait());
  std::vector<PageSlot> slots;
  std::uint64_t bytes = 0;
  pages_.for_each_page(at, [&](PageSlot slot) {
    slots.push_back(slot);
    bytes += charge_of(slot);
  });
  for (const PageSlot slot : slots) {
    assert(pages_.page(slot).state() == PageState::leaving);
    pages_.remove(slot);
  }
  const auto allocated = allocated_unused_.find(at);
  if (allocated != allocated_unused_.end()) {
    bytes += allocated->second;
    allocated_unused_.erase(allocated);
  }
  forget_block(at);
  TierBudget::move(budget_.leaving, budget_.orphaned, bytes);
  const bool held = files_.detach(shape.id, bytes);
  if (!held) TierBudget::uncharge(budget_.orphaned, bytes);
  room_changed();
  co_return ok();
}

void DiskTierImpl::uncharge_allocated(BlockSlot at) {
  const auto found = allocated_unused_.find(at);
  if (found == allocated_unused_.end()) return;
  TierBudget::uncharge(budget_.leaving, found->second);
  allocated_unused_.erase(found);
  room_changed();
}

void DiskTierImpl::start_trim(BlockSlot at) {
  BlockEntry& block = pages_.block(at);
  if (block.cleaning || block.doomed) return;
  unstick(trim_again_, at);
  if (block.pages == 0) {
    doom(at, Removal::dropped);
    return;
  }
  block.cleaning = 1;
  const Status spawned = tasks_.spawn(trim(at), "trim_cache_file");
  if (!spawned) block.cleaning = 0;
}

// Punches everything out of a file that no page is in: what a crash or a given up load left there. Writes wait meanwhile.
Task<> DiskTierImpl::trim(BlockSlot at) {
  const BlockJob job(jobs_, at, quiet_);
  const BlockShape shape = pages_.block(at).shape();
  // Writes that began before the block was closed to them are pages of the map already: filling ones are left alone.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> holes;
  std::uint64_t hole = 0;
  pages_.for_each_page(at, [&](PageSlot slot) {
    const std::uint32_t page = pages_.page(slot).page;
    if (shape.page_offset(page) > hole) holes.emplace_back(hole, shape.page_offset(page));
    hole = shape.page_offset(page) + shape.page_charge(page);
  });
  FileUse file = files_.use(shape.id);
  Status status = co_await files_.ensure_open(file.shared(), DiskOpen::existing);
  if (status) {
    const std::uint64_t end = std::max<std::uint64_t>(file->length_bytes, shape.page_offset(shape.page_count() - 1) + shape.page_charge(shape.page_count() - 1));
    if (end > hole) holes.emplace_back(hole, (end + disk_alignment_bytes - 1) / disk_alignment_bytes * disk_alignment_bytes);
  }
  for (const auto& [begin, end] : holes) {
    if (!status) break;
    status = co_await device_.punch(*file->direct, begin, end - begin);
  }
  file.reset();
  pages_.block(at).cleaning = 0;
  if (pages_.block(at).doomed) co_return ok();  // goes with its file, which waits for this
  if (!status && status.code() != Code::not_found) {
    const auto allocated = allocated_unused_.find(at);
    note_stuck(trim_again_, at, allocated == allocated_unused_.end() ? 0 : allocated->second);
    room_changed();
    co_return ok();
  }
  uncharge_allocated(at);
  if (pages_.block(at).pages == 0 && !whole_.contains(at)) doom(at, Removal::dropped);
  co_return ok();
}

// Once a block and place: what is noted is what is taken back, however its pages change meanwhile.
void DiskTierImpl::note_stuck(std::map<BlockSlot, std::uint64_t>& where, BlockSlot at, std::uint64_t bytes) {
  if (where.emplace(at, bytes).second) stuck_bytes_ += bytes;
}

void DiskTierImpl::unstick(std::map<BlockSlot, std::uint64_t>& where, BlockSlot at) {
  const auto found = where.find(at);
  if (found == where.end()) return;
  stuck_bytes_ -= found->second;
  where.erase(found);
}

// What could not be given back while the device was ill.
void DiskTierImpl::retry_stuck() {
  for (const auto& [block, slots] : std::exchange(stuck_pages_, {})) {
    for (const PageSlot slot : slots) stuck_bytes_ -= charge_of(slot);
    const Status spawned = tasks_.spawn(give_back(block, slots), "evict_cache_pages");
    if (!spawned) return;
  }
  for (const auto& [block, billed] : std::exchange(stuck_blocks_, {})) {
    stuck_bytes_ -= billed;
    const Status spawned = tasks_.spawn(unlink(block), "unlink_cache_file");
    if (!spawned) return;
  }
  for (const auto& [block, billed] : std::exchange(trim_again_, {})) {
    stuck_bytes_ -= billed;
    if (pages_.block_in_use(block)) start_trim(block);
  }
}

}  // namespace hearth
