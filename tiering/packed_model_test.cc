// Random operations on packed blocks of several domains, beside larger ones, against what was committed and where it lay.
#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

#include <sys/mman.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <random>

namespace hearth {
namespace {

using namespace hearth::testing;

struct PackedShape {
  const char* name;
  MemoryTierOptions options;
  Packing packing;
  HugePageSupport huge;
  std::uint64_t small_length;  // the longest of packed blocks
  std::uint64_t large_length;
  const char* eviction;
  int steps;
};

class PackedDriver {
 public:
  PackedDriver(const PackedShape& shape, std::uint64_t seed)
      : options_(shape.options),
        random_(seed),
        store_(open_block_store(with_release(shape.options), shape.huge, make_policy(shape.eviction).value(), shape.packing).value()) {
    for (std::uint64_t number = 0; number < 60; ++number) {
      const bool large = number % 12 == 11;
      const std::uint64_t most = large ? shape.large_length : shape.small_length;
      const std::uint64_t least = large ? shape.packing.below_bytes + 1 : 1;
      BlockRef block = make_block(number, least + random_() % (most - least + 1), 1U << 20);
      block.file.uid = static_cast<std::uint32_t>(number % 4);
      block.file.gid = 5;
      block.file.mode = number % 2 == 0 ? 0644 : 0600;
      blocks_.push_back(block);
      contents_.push_back(page_content(block, PageIndex{0}));
    }
  }

  void step() {
    switch (random_() % 20) {
      case 0: case 1: case 2: case 3: fill_now(); break;
      case 4: begin(); break;
      case 5: finish_fill(); break;
      case 6: case 7: case 8: look(); break;
      case 9: hold_view(); break;
      case 10: case 11: drop_view(); break;
      case 12: grant(); break;
      case 13: release(); break;
      case 14: remove(); break;
      case 15: pin(); break;
      case 16: evict_coldest(); break;
      case 17: hold_cold(); break;
      case 18: store_->compact(); if (random_() % 2 == 0) let_memory_go(); break;
      default: report(); break;
    }
    reconcile();
    check_leases();
    const MemoryTierStats stats = store_->stats();
    ASSERT_LE(charged(stats), options_.capacity_bytes);
    ASSERT_LE(stats.dead_bytes, stats.orphaned_bytes);
    ASSERT_LE(stats.compactable_bytes, stats.dead_bytes);
    ASSERT_LE(stats.leaving_bytes, stats.orphaned_bytes - stats.dead_bytes);
    ASSERT_LE(stats.leased_bytes, stats.resident_bytes + stats.filling_bytes);
    ASSERT_EQ(stats.leases, leases_.size());
  }

  void audit() {
    ASSERT_LE(descriptors().memfd_bytes, charged(store_->stats())) << "the kernel holds more than is charged";
    for (std::uint64_t number = 0; number < blocks_.size(); ++number) {
      note_place(number);
      const auto view = store_->find(blocks_[number], PageIndex{0});
      ASSERT_EQ(view.has_value(), resident_.contains(number)) << number;
      if (view) {
        ASSERT_TRUE(right(*view, number));
      }
    }
    // What no longer lies anywhere is not needed to find overlaps with.
    if (places_.size() > 2000) forget_places();
    report();
  }

  void finish() {
    cold_.reset();
    views_.clear();
    fills_.clear();
    while (!leases_.empty()) release();
    std::cout << "evicted " << store_->stats().evicted_bytes << ", compacted " << store_->stats().compacted_bytes << ", grants "
              << grants_made_ << ", full " << full_ << "\n";
    EXPECT_GT(store_->stats().compacted_bytes, 0U);
    EXPECT_GT(store_->stats().evicted_bytes, 0U);
    EXPECT_GT(grants_made_, 0);
    for (const BlockRef& block : blocks_) store_->free_block(block.id);
    let_memory_go();
    const MemoryTierStats stats = store_->stats();
    EXPECT_EQ(stats.resident_bytes + stats.filling_bytes + stats.pinned_bytes + stats.leased_bytes, 0U);
    EXPECT_EQ(stats.orphaned_bytes, stats.dead_bytes) << "what nobody holds has gone";
    EXPECT_EQ(stats.leaving_bytes, 0U);
    BlockRef whole = make_block(1000, options_.capacity_bytes, 16U << 20);
    EXPECT_TRUE(store_->begin_fill(whole, PageIndex{0})) << "dead slots make room";
    store_.reset();
    leaving_.clear();
  }

 private:
  struct HeldView { PageView view; std::uint64_t number; };
  struct HeldFill { PageFill fill; std::uint64_t number; bool lost = false; };
  struct HeldLease {
    BlockGrant grant;
    BlockId segment;
    const std::byte* shown = nullptr;
    std::map<std::uint64_t, std::uint64_t> live;  // block number: offset
  };
  struct Where { std::uint64_t number; std::uint64_t length; };

  std::uint64_t any() {
    return random_() % (random_() % 2 == 0 ? blocks_.size() : (blocks_.size() + 3) / 4);
  }
  bool right(const PageView& view, std::uint64_t number) const {
    const auto& expected = contents_[number];
    return view.bytes().size() == expected.size() &&
           std::memcmp(view.bytes().data(), expected.data(), expected.size()) == 0 &&
           view.chunk_checksums()[0] == chunk_checksums(expected)[0];
  }
  bool being_filled(std::uint64_t number) const {
    return std::any_of(fills_.begin(), fills_.end(), [&](const HeldFill& f) { return f.number == number && !f.lost; });
  }
  MemoryTierOptions with_release(MemoryTierOptions options) {
    options.run_elsewhere = [this](std::function<void()> work) {
      if (random_() % 4 == 0) return false;
      leaving_.push_back(std::move(work));
      return true;
    };
    return options;
  }
  void let_memory_go() {
    for (const auto& work : std::exchange(leaving_, {})) work();
  }
  bool nothing_held() const { return leaving_.empty() && views_.empty() && fills_.empty() && leases_.empty() && pinned_.empty() && !cold_; }

  std::optional<PageFill> start(std::uint64_t number) {
    const bool busy = resident_.contains(number) || being_filled(number);
    auto fill = store_->begin_fill(blocks_[number], PageIndex{0});
    if (fill) {
      EXPECT_FALSE(busy);
      return std::move(*fill);
    }
    EXPECT_EQ(fill.code(), busy ? Code::busy : Code::no_space) << fill.error().to_string();
    if (!busy) {
      full_ += 1;
      EXPECT_FALSE(nothing_held()) << "room can always be made where nothing is held";
    }
    return std::nullopt;
  }
  void commit(PageFill fill, std::uint64_t number, bool lost) {
    EXPECT_TRUE(right(fill_and_commit(*store_, std::move(fill), blocks_[number], PageIndex{0}), number));
    if (lost) return;
    resident_.insert(number);
    note_place(number);
  }
  void fill_now() {
    const std::uint64_t number = any();
    if (auto fill = start(number)) commit(std::move(*fill), number, false);
  }
  void begin() {
    const std::uint64_t number = any();
    if (fills_.size() >= 4) return;
    if (auto fill = start(number)) fills_.push_back({std::move(*fill), number});
  }
  void finish_fill() {
    if (fills_.empty()) return;
    const std::size_t index = random_() % fills_.size();
    std::swap(fills_[index], fills_.back());
    HeldFill held = std::move(fills_.back());
    fills_.pop_back();
    if (random_() % 3 == 0) return;  // abandoned
    commit(std::move(held.fill), held.number, held.lost);
  }
  void look() {
    const std::uint64_t number = any();
    const auto view = store_->find(blocks_[number], PageIndex{0});
    EXPECT_EQ(view.has_value(), resident_.contains(number));
    EXPECT_TRUE(!view || right(*view, number));
  }
  void hold_view() {
    const std::uint64_t number = any();
    if (views_.size() >= 6) return;
    if (auto view = store_->find(blocks_[number], PageIndex{0})) views_.push_back({std::move(*view), number});
  }
  void drop_view() {
    if (views_.empty()) return;
    const std::size_t index = random_() % views_.size();
    EXPECT_TRUE(right(views_[index].view, views_[index].number));
    std::swap(views_[index], views_.back());
    views_.pop_back();
  }
  void grant() {
    const std::uint64_t number = any();
    const auto place = store_->packed_place(blocks_[number].id);
    if (!place) {
      EXPECT_EQ(store_->grant_segment(blocks_[number], BlockId{1, 2}).code(), Code::not_found);
      return;
    }
    EXPECT_EQ(store_->grant(blocks_[number]).code(), Code::unsupported);
    EXPECT_EQ(store_->grant_segment(blocks_[number], BlockId{1, 2}).code(), Code::not_found);
    if (leases_.size() >= 3) return;
    auto granted = store_->grant_segment(blocks_[number], place->segment);
    ASSERT_TRUE(granted) << granted.error().to_string();
    grants_made_ += 1;
    HeldLease held{.grant = std::move(*granted), .segment = place->segment};
    void* shown = ::mmap(nullptr, held.grant.length_bytes, PROT_READ, MAP_SHARED, held.grant.fd.get(), 0);
    ASSERT_NE(shown, MAP_FAILED);
    held.shown = static_cast<const std::byte*>(shown);
    leases_.push_back(std::move(held));
    for (const std::uint64_t there : resident_) note_place(there);
  }
  void release() {
    if (leases_.empty()) return;
    HeldLease held = std::move(leases_.front());
    leases_.erase(leases_.begin());
    ::munmap(const_cast<std::byte*>(held.shown), held.grant.length_bytes);
    held.grant.fd.reset();
    store_->release(held.grant.lease);
  }
  void remove() {
    const std::uint64_t number = any();
    if (random_() % 2 == 0) return;
    if (random_() % 2 == 0) {
      store_->drop_corrupt(blocks_[number].id, PageIndex{0});
      if (resident_.contains(number)) forget(number);
    } else {
      store_->free_block(blocks_[number].id);
      forget(number);
      for (HeldFill& held : fills_) held.lost |= held.number == number;
    }
    EXPECT_FALSE(store_->contains(blocks_[number].id, PageIndex{0}));
  }
  void forget(std::uint64_t number) {
    resident_.erase(number);
    pinned_.erase(number);
    for (HeldLease& lease : leases_) lease.live.erase(number);
  }
  void pin() {
    const std::uint64_t number = any();
    if (pinned_.contains(number) || pinned_.size() >= 4) {
      store_->pin(blocks_[number].id, Pinned::no);
      pinned_.erase(number);
    } else if (resident_.contains(number)) {
      store_->pin(blocks_[number].id, Pinned::yes);
      pinned_.insert(number);
    }
  }
  void evict_coldest() {
    const std::uint64_t before = store_->stats().evicted_bytes;
    if (cold_) {
      store_->evict(std::move(*cold_));
      cold_.reset();
    } else if (auto unit = store_->coldest()) {
      const BlockId id = unit->block.id;
      EXPECT_FALSE(pinned_.contains(id.low)) << "a pinned block is never the coldest";
      EXPECT_GT(store_->evict(std::move(*unit)), 0U);
      EXPECT_FALSE(store_->residency(id).present);
      EXPECT_GT(store_->stats().evicted_bytes, before);
    }
  }
  void hold_cold() {
    if (cold_) return;
    cold_ = store_->coldest();
    if (cold_) {
      EXPECT_TRUE(right(cold_->pages.at(0).second, cold_->block.id.low));
    }
  }

  // Where blocks came to lie: nothing ever on the bytes of another, nor beside blocks of another domain.
  void note_place(std::uint64_t number) {
    const auto place = store_->packed_place(blocks_[number].id);
    if (!place) return;
    const auto domain = *SegmentDomain::of(blocks_[number]);
    const auto [known, first] = domains_.try_emplace(place->segment, domain);
    EXPECT_TRUE(known->second == domain) << "two domains in one segment";
    auto& there = places_[place->segment];
    const std::uint64_t length = blocks_[number].length_bytes;
    const auto next = there.lower_bound(place->offset_bytes);
    if (next != there.end() && next->first == place->offset_bytes) {
      EXPECT_EQ(next->second.number, number) << "a slot was used again";
    } else {
      EXPECT_TRUE(next == there.end() || place->offset_bytes + length <= next->first);
      EXPECT_TRUE(next == there.begin() ||
                  std::prev(next)->first + std::prev(next)->second.length <= place->offset_bytes);
      there.emplace(place->offset_bytes, Where{number, length});
    }
    for (HeldLease& lease : leases_) {
      if (lease.segment == place->segment) lease.live.emplace(number, place->offset_bytes);
    }
  }
  void forget_places() {
    std::set<BlockId> used;
    for (const std::uint64_t number : resident_) {
      if (const auto place = store_->packed_place(blocks_[number].id)) used.insert(place->segment);
    }
    for (const HeldLease& lease : leases_) used.insert(lease.segment);
    std::erase_if(places_, [&](const auto& entry) { return !used.contains(entry.first); });
    std::erase_if(domains_, [&](const auto& entry) { return !used.contains(entry.first); });
  }
  // Whatever was seen in a leased segment is still shown there, dead or not; what is live has stayed.
  void check_leases() {
    for (const HeldLease& lease : leases_) {
      for (const auto& [offset, where] : places_[lease.segment]) {
        ASSERT_EQ(std::memcmp(lease.shown + offset, contents_[where.number].data(), where.length), 0)
            << "bytes under a lease changed";
      }
      for (const auto& [number, offset] : lease.live) {
        const auto place = store_->packed_place(blocks_[number].id);
        ASSERT_TRUE(place && place->segment == lease.segment && place->offset_bytes == offset) << "moved under a lease";
      }
    }
  }
  void reconcile() {
    const std::uint64_t evicted = store_->stats().evicted_bytes;
    for (auto number = resident_.begin(); number != resident_.end();) {
      if (store_->contains(blocks_[*number].id, PageIndex{0})) {
        ++number;
        continue;
      }
      ASSERT_NE(evicted, evicted_) << "missing though nothing was evicted";
      ASSERT_FALSE(pinned_.contains(*number));
      number = resident_.erase(number);
    }
    evicted_ = evicted;
  }
  void report() {
    const PresenceChanges changes = store_->take_changes();
    for (const BlockId& id : changes.added) EXPECT_TRUE(reported_.insert(id).second);
    for (const BlockId& id : changes.removed) EXPECT_EQ(reported_.erase(id), 1U);
    const auto all = store_->all_blocks();
    EXPECT_EQ(reported_, std::set<BlockId>(all.begin(), all.end()));
  }

  const MemoryTierOptions options_;
  std::vector<BlockRef> blocks_;
  std::vector<std::vector<std::byte>> contents_;
  std::vector<std::function<void()>> leaving_;
  std::mt19937_64 random_;
  std::unique_ptr<BlockStore> store_;
  std::set<std::uint64_t> resident_;
  std::set<std::uint64_t> pinned_;
  std::vector<HeldView> views_;
  std::vector<HeldFill> fills_;
  std::vector<HeldLease> leases_;
  std::optional<ColdUnit> cold_;
  std::map<BlockId, std::map<std::uint64_t, Where>> places_;
  std::map<BlockId, SegmentDomain> domains_;
  std::set<BlockId> reported_;
  std::uint64_t evicted_ = 0;
  int grants_made_ = 0;
  int full_ = 0;
};

class PackedModel : public ::testing::TestWithParam<PackedShape> {};

TEST_P(PackedModel, HoldsItsInvariantsUnderRandomOperations) {
  const PackedShape& shape = GetParam();
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  const int steps = std::getenv("HEARTH_LONG") != nullptr ? shape.steps * 30 : shape.steps;
  std::cout << "seed " << seed << " (repeat with HEARTH_SEED=" << seed << "), " << steps << " steps\n";
  const std::size_t before = descriptors().count;
  PackedDriver driver(shape, seed);
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
    driver.step();
    if (step % 499 == 0) driver.audit();
  }
  driver.finish();
  EXPECT_EQ(descriptors().count, before);
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, PackedModel,
    ::testing::Values(
        PackedShape{"tight", {.capacity_bytes = 160 * kib}, {.below_bytes = 6000, .segment_bytes = 16 * kib, .max_open = 3},
              HugePageSupport::absent, 6000, 24 * kib, "lru", 20000},
        PackedShape{"few_slots", {.capacity_bytes = 128 * kib, .private_below_bytes = 8000, .pool_bytes = 16 * kib},
              {.below_bytes = 6000, .segment_bytes = 32 * kib, .max_slots = 5, .max_open = 8},
              HugePageSupport::absent, 7000, 24 * kib, "s3-fifo", 15000},
        PackedShape{"few_descriptors", {.capacity_bytes = 220 * kib, .max_blocks = 6},
              {.below_bytes = 6000, .segment_bytes = 32 * kib, .max_open = 4},
              HugePageSupport::absent, 6000, 24 * kib, "w-tinylfu", 10000},
        PackedShape{"huge", {.capacity_bytes = 32 * mib}, {.below_bytes = mib, .segment_bytes = 4 * mib, .max_slots = 8, .max_open = 4},
              HugePageSupport::present, mib, 2 * mib, "lru", 600}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace hearth
