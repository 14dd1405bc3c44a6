#include "tiering/block_store_impl.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

namespace hearth {

BlockStoreImpl::BlockStoreImpl(const MemoryTierOptions& options, const Packing& packing, HugePageSupport huge_pages,
                               std::unique_ptr<EvictionPolicy> policy)
    : options_(options),
      huge_pages_(huge_pages),
      budget_(std::make_shared<Budget>(options.capacity_bytes)),
      anchor_(std::make_shared<StoreAnchor>(StoreAnchor{.store = this})),
      policy_(std::move(policy)),
      pool_(budget_, options.pool_bytes),
      shelf_(packing, huge_pages, budget_, options.run_elsewhere) {}

BlockStoreImpl::~BlockStoreImpl() {
  while (!blocks_.empty()) detach(*blocks_.begin()->second, Removal::dropped);
  anchor_->store = nullptr;
}

std::shared_ptr<Block> BlockStoreImpl::block_of(const BlockId& id) const {
  const auto found = blocks_.find(id);
  return found == blocks_.end() ? nullptr : found->second;
}

Status BlockStoreImpl::validate(const BlockRef& block, PageIndex page) const {
  const bool shaped = block.length_bytes > 0 && block.length_bytes <= max_block_size_bytes &&
                      block.page_size_bytes > 0 && block.page_size_bytes % small_granule_bytes == 0;
  if (!shaped || page.value >= block.page_count()) {
    return Error(Code::invalid_argument, "block " + block.id.to_hex() + ": no page " + std::to_string(page.value) +
                                             " in " + std::to_string(block.length_bytes) + " bytes with pages of " +
                                             std::to_string(block.page_size_bytes) + " (a multiple of 4 KiB)");
  }
  return ok();
}

PageView BlockStoreImpl::view_of(std::shared_ptr<const PageRecord> record) {
  PageView view;
  view.bytes_ = record->bytes;
  view.checksums_ = record->checksums;
  view.holder_ = std::move(record);
  return view;
}

std::optional<PageView> BlockStoreImpl::find(const BlockRef& ref, PageIndex page) {
  const auto found = blocks_.find(ref.id);
  if (found == blocks_.end()) return std::nullopt;
  Block& block = *found->second;
  if (page.value >= block.pages.size() || block.pages[page.value] == nullptr) return std::nullopt;
  touch(block, block.layout.unit_of(page));
  return view_of(block.pages[page.value]);
}

PageView BlockStoreImpl::commit(PageFill fill, std::vector<std::uint32_t> chunk_checksums) {
  assert(fill.state_ != nullptr && fill.state_->anchor == anchor_ && "a fill is committed once, to its own store");
  assert(fill.state_->stored == Stored::yes && "bytes first, then commit");
  const std::shared_ptr<Block> block = std::move(fill.state_->block);
  const PageIndex page = fill.state_->page;
  const std::uint64_t begin = block->memory_offset_bytes + std::uint64_t{page.value} * block->layout.page_size_bytes;
  const std::uint32_t length = block->page_length_bytes(page);
  assert(chunk_checksums.size() == (length + checksum_chunk_bytes - 1) / checksum_chunk_bytes);

  auto record = std::make_shared<PageRecord>(PageRecord{.memory = block->memory,
                                                        .bytes = block->memory->bytes().subspan(begin, length),
                                                        .checksums = std::move(chunk_checksums)});
  const std::uint32_t unit_index = block->layout.unit_of(page);
  Unit& unit = block->units[unit_index];
  block->filling[page.value] = false;
  --block->filling_pages;
  --unit.filling_pages;
  ++unit.resident_pages;
  if (block->place == Place::in_map) {
    block->pages[page.value] = record;
    count_resident(*block, length);
    if (++block->resident_pages == 1) presence_changed(block->id, Presence::present);
    if (unit.resident_pages == 1) budget_->move(Charge::filling, Charge::resident, unit.charged_bytes);
    place_in_order(*block, unit_index);
    // Granted in filling. Should the kernel refuse the last seals, no further grant of it is made.
    if (block->whole_only() && block->complete()) (void)block->memory->seal();
  }
  if (block->packed()) shelf_.end_writing(*block->segment);
  return view_of(std::move(record));
}

BlockResidency BlockStoreImpl::residency(const BlockId& id) const {
  const auto found = blocks_.find(id);
  if (found == blocks_.end()) return {};
  const Block& block = *found->second;
  return BlockResidency{.present = block.resident_pages > 0,
                        .complete = block.complete(),
                        .resident_bytes = block.resident_bytes,
                        .leases = block.packed() ? block.segment->leases : block.leases,
                        .goes_whole = block.whole_only()};
}

PresenceChanges BlockStoreImpl::take_changes() {
  PresenceChanges changes;
  for (const auto& [id, now] : changes_) (now == Presence::present ? changes.added : changes.removed).push_back(id);
  changes_.clear();
  return changes;
}

std::vector<BlockId> BlockStoreImpl::all_blocks() const {
  std::vector<BlockId> ids;
  ids.reserve(blocks_.size());
  for (const auto& [id, block] : blocks_) {
    if (block->resident_pages > 0) ids.push_back(id);
  }
  return ids;
}

MemoryTierStats BlockStoreImpl::stats() const {
  const SegmentShelf::Totals& packed = shelf_.totals();
  return MemoryTierStats{.capacity_bytes = options_.capacity_bytes,
                         .resident_bytes = budget_->bytes(Charge::resident),
                         .filling_bytes = budget_->bytes(Charge::filling),
                         .leased_bytes = leased_bytes_ + packed.leased_bytes,
                         .orphaned_bytes = budget_->bytes(Charge::orphaned),
                         .pooled_bytes = budget_->bytes(Charge::pooled),
                         .pinned_bytes = pinned_bytes_,
                         .evicted_bytes = evicted_bytes_,
                         .foreground_evictions = foreground_evictions_,
                         .corrupt_chunks = corrupt_chunks_,
                         .blocks = blocks_.size(),
                         .leases = leases_.size(),
                         .segments = packed.segments,
                         .dead_bytes = packed.charged_bytes - packed.live_bytes,
                         .compactable_bytes = packed.compactable_bytes(),
                         .leaving_bytes = budget_->leaving_bytes(),
                         .compacted_bytes = compacted_bytes_,
                         .huge_pages = huge_pages_ == HugePageSupport::present};
}

std::span<std::byte> BlockStoreImpl::tamper_for_test(const BlockId& id) {
  const std::shared_ptr<Block> block = block_of(id);
  if (block == nullptr) return {};
  block->memory->unprotect_for_test();
  return block->memory->bytes().subspan(block->memory_offset_bytes, block->layout.length_bytes);
}

void BlockStoreImpl::count_resident(Block& block, std::int64_t bytes) {
  block.resident_bytes += static_cast<std::uint64_t>(bytes);
  if (block.pinned == Pinned::yes) pinned_bytes_ += static_cast<std::uint64_t>(bytes);
}

void BlockStoreImpl::touch(Block& block, std::uint32_t unit) {
  block.last_access = ++accesses_;
  Unit& touched = block.units[block.whole_only() ? 0 : unit];
  touched.last_access = block.last_access;
  if (block.packed()) block.segment->last_access = block.last_access;
  const auto& slot = touched.slot;
  if (slot) policy_->touched(*slot);
}

void BlockStoreImpl::insert_slot(Block& block, std::uint32_t unit) {
  if (block.pinned == Pinned::yes || (block.packed() && block.segment->leased())) return;
  const EvictionSlot slot = slots_.take(block, unit);
  block.units[unit].slot = slot;
  // A block that was granted goes whole, so its one slot stands for all of it.
  const std::uint64_t charge_bytes = block.whole_only() ? block.charged_bytes() : block.units[unit].charged_bytes;
  policy_->inserted(slot, BlockIdHash{}(block.id) + unit * 0x9E3779B97F4A7C15ULL, charge_bytes);
}

void BlockStoreImpl::place_in_order(Block& block, std::uint32_t unit) {
  const bool known = !block.whole_only() && block.units[unit].resident_pages > 1;
  if (known) return touch(block, unit);
  block.last_access = ++accesses_;
  block.units[block.whole_only() ? 0 : unit].last_access = block.last_access;
  if (block.packed()) block.segment->last_access = block.last_access;
  if (block.whole_only()) {
    renew_whole_slot(block);
  } else {
    insert_slot(block, unit);
  }
}

void BlockStoreImpl::renew_whole_slot(Block& block) {
  remove_slot(block, 0, Removal::dropped);
  if (block.leases == 0 && block.resident_pages > 0) insert_slot(block, 0);
}

void BlockStoreImpl::remove_slot(Block& block, std::uint32_t unit, Removal why) {
  auto& slot = block.units[unit].slot;
  if (!slot) return;
  policy_->removed(*slot, why);
  slots_.give_back(*slot);
  slot.reset();
}

void BlockStoreImpl::presence_changed(const BlockId& id, Presence now) {
  // Presence alternates, so a second change takes the block back to what was reported.
  const auto [entry, inserted] = changes_.try_emplace(id, now);
  if (!inserted) changes_.erase(entry);
}

}  // namespace hearth
