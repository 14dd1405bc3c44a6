// The memory tier: the page table, the budget, the leases and the eviction policy put together.
//
// Threads: confined to the data thread, except what block_store.h says of views and fills.
// Owns:    everything of the tier. Memory that left the map belongs to whoever still holds it
//          (view, fill, lease) and stays charged as an orphan until the last of them lets go.
#pragma once

#include "tiering/block_store.h"
#include "tiering/budget.h"
#include "tiering/eviction_policy.h"
#include "tiering/huge_pages.h"
#include "tiering/lease_table.h"
#include "tiering/memory_pool.h"
#include "tiering/page_table.h"
#include "tiering/segment_shelf.h"

#include <memory>
#include <unordered_map>
#include <vector>

namespace hearth {

// Where a fill finds its store, or null when the store is gone.
struct StoreAnchor {
  BlockStoreImpl* store = nullptr;
};

enum class Stored : std::uint8_t { no, yes };

struct PageFill::State {
  std::shared_ptr<StoreAnchor> anchor;  // shared: the fill may outlive the store
  std::shared_ptr<Block> block;         // shared: the fill may outlive the block's place in the map
  PageIndex page;
  Stored stored = Stored::no;

  ~State();
};

class BlockStoreImpl final : public BlockStore {
 public:
  BlockStoreImpl(const MemoryTierOptions& options, const Packing& packing, HugePageSupport huge_pages,
                 std::unique_ptr<EvictionPolicy> policy);
  ~BlockStoreImpl() override;

  std::optional<PageView> find(const BlockRef& block, PageIndex page) override;
  Result<PageFill> begin_fill(const BlockRef& block, PageIndex page) override;
  PageView commit(PageFill fill, std::vector<std::uint32_t> chunk_checksums) override;
  void drop_corrupt(const BlockId& block, PageIndex page) override;
  Result<BlockGrant> grant(const BlockRef& block) override;
  Result<BlockGrant> grant_in_filling(const BlockRef& block) override;
  std::optional<PackedPlace> packed_place(const BlockId& block) const override;
  Result<BlockGrant> grant_segment(const BlockRef& block, const BlockId& segment) override;
  bool compact() override;
  bool shows(LeaseId lease, std::span<const std::byte> bytes) const override;
  void release(LeaseId lease) override;
  std::vector<LeaseId> leases_to_recall(std::uint64_t bytes) const override;
  std::uint64_t free_block(const BlockId& block) override;
  void set_eviction(std::unique_ptr<EvictionPolicy> policy) override;
  std::optional<ColdUnit> coldest() override;
  std::vector<ColdUnit> units_of(const BlockId& block) override;
  std::uint64_t evict(ColdUnit unit) override;
  void pin(const BlockId& block, Pinned pinned) override;
  bool contains(const BlockId& block, PageIndex page) const override;
  BlockResidency residency(const BlockId& block) const override;
  PresenceChanges take_changes() override;
  std::vector<BlockId> all_blocks() const override;
  MemoryTierStats stats() const override;
  std::span<std::byte> tamper_for_test(const BlockId& block) override;

  void abandon(Block& block, PageIndex page);

 private:
  enum class Reuse : std::uint8_t { allowed, forbidden };
  // What making room gave up. The dead slot of a packed block gives nothing back by itself; what goes later helps the next.
  enum class GaveUp : std::uint8_t { nothing, memory, dead_slot, for_later };

  Status validate(const BlockRef& block, PageIndex page) const;
  std::shared_ptr<Block> block_of(const BlockId& id) const;
  static PageView view_of(std::shared_ptr<const PageRecord> record);
  Layout layout_of(const BlockRef& block) const;
  static Status same_shape(const Block& block, const BlockRef& ref);
  Status may_be_granted(const BlockRef& block, const Layout& layout) const;
  Result<BlockGrant> lease(std::shared_ptr<Block> block);

  // Reservation: block_store_reserve.cc.
  Result<std::shared_ptr<Block>> create_block(const BlockRef& block, const Layout& layout, std::uint64_t charge_bytes);
  std::shared_ptr<Block> recycle(const BlockId& id, const Layout& layout, std::uint64_t charge_bytes);
  Result<PageFill> reserve(std::shared_ptr<Block> block, PageIndex page);
  Status make_room(std::uint64_t bytes);
  GaveUp evict_one();
  bool evict_block();
  ColdUnit unit_at(EvictionSlot slot) const;
  bool evictable(EvictionSlot slot) const;
  static bool evictable_whole(const Block& block);
  void evict_slot(EvictionSlot slot);

  // Packed blocks: block_store_packed.cc.
  Result<std::shared_ptr<Block>> create_packed(const BlockRef& block, const Layout& layout, const SegmentDomain& domain);
  void retire(Block& block, Removal why);
  // For a fill: a segment goes whole, the emptiest or the one of the coldest block.
  bool reclaim_segment(Segment& of_coldest);
  GaveUp evict_packed(EvictionSlot coldest);
  static bool may_go(const Segment& segment);
  void evict_segment(Segment& segment);
  void release_segment(Segment& segment);
  std::shared_ptr<Segment> segment_to_compact();
  bool move_block(Block& block);

  // Leaving the map: block_store_release.cc.
  void drop_unit(Block& block, std::uint32_t unit, Removal why, Reuse reuse);
  void forget_pages(Block& block, std::uint32_t unit);
  void detach(Block& block, Removal why);
  void erase_if_idle(Block& block);
  void leave_map(Block& block);

  void touch(Block& block, std::uint32_t unit);
  void insert_slot(Block& block, std::uint32_t unit);
  void place_in_order(Block& block, std::uint32_t unit);  // it has one page more
  // The one slot of a block that goes whole, none while it is leased or empty; its cost may have grown.
  void renew_whole_slot(Block& block);
  void remove_slot(Block& block, std::uint32_t unit, Removal why);
  void count_resident(Block& block, std::int64_t bytes);
  enum class Presence : std::uint8_t { present, absent };
  void presence_changed(const BlockId& id, Presence now);

  // Set once.
  const MemoryTierOptions options_;
  const HugePageSupport huge_pages_;
  const std::shared_ptr<Budget> budget_;  // shared with memory that outlives the store
  const std::shared_ptr<StoreAnchor> anchor_;
  // Data thread only.
  std::unique_ptr<EvictionPolicy> policy_;
  MemoryPool pool_;
  SegmentShelf shelf_;
  std::weak_ptr<Segment> compacting_;
  std::uint32_t next_to_compact_ = 0;  // slot
  LeaseTable leases_;
  SlotTable slots_;
  BlockMap blocks_;
  std::unordered_map<BlockId, Presence, BlockIdHash> changes_;  // only what differs from the last report
  std::uint64_t accesses_ = 0;
  std::uint64_t leased_bytes_ = 0;
  std::uint64_t evicted_bytes_ = 0;
  std::uint64_t foreground_evictions_ = 0;
  std::uint64_t compacted_bytes_ = 0;
  std::uint64_t pinned_bytes_ = 0;  // resident bytes of pinned blocks
  std::uint64_t corrupt_chunks_ = 0;
};

// The seam for tests and for `open`: the probe's answer and the policy are passed in; small segments, too.
Result<std::unique_ptr<BlockStore>> open_block_store(const MemoryTierOptions& options, HugePageSupport huge_pages,
                                                     std::unique_ptr<EvictionPolicy> policy,
                                                     std::optional<Packing> packing = std::nullopt);

}  // namespace hearth
