// Random operations against a model: what was committed, what is held, what may have been evicted.
#include "tiering/tiering_test_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <random>
#include <tuple>

namespace hearth {
namespace {

using namespace hearth::testing;
using PageKey = std::pair<std::uint64_t, std::uint32_t>;  // block number, page

class Driver {
 public:
  Driver(const MemoryTierOptions& options, HugePageSupport huge, std::uint64_t seed, std::vector<BlockRef> blocks)
      : options_(options), blocks_(std::move(blocks)), store_(open_store(options, huge)), random_(seed) {}

  void step() {
    switch (random_() % 16) {
      case 0: case 1: case 2: case 3: fill_now(); break;
      case 4: begin(); break;
      case 5: finish_fill(); break;
      case 6: case 7: case 8: look(); break;
      case 9: hold_view(); break;
      case 10: case 11: drop_view(); break;
      case 12: grant(); break;
      case 13: release(); break;
      case 14: remove(); break;
      default: report(); break;
    }
    const MemoryTierStats stats = store_->stats();
    ASSERT_LE(charged(stats), options_.capacity_bytes);
    ASSERT_LE(stats.pooled_bytes, options_.pool_bytes);
    ASSERT_EQ(stats.leases, grants_.size());
    // A page may only be missing if something was evicted since.
    if (stats.evicted_bytes != evicted_) { evicted_ = stats.evicted_bytes; reconcile(); }
  }

  // The expensive questions, asked now and then.
  void audit() {
    ASSERT_LE(descriptors().memfd_bytes, charged(store_->stats())) << "the kernel holds more than is charged";
    for (std::uint64_t number = 0; number < blocks_.size(); ++number) {
      const BlockRef& block = blocks_[number];
      std::uint64_t resident = 0;
      for (std::uint32_t page = 0; page < block.page_count(); ++page) {
        const auto view = store_->find(block, PageIndex{page});
        ASSERT_EQ(view.has_value(), resident_.contains({number, page})) << number << "/" << page;
        if (view) { ASSERT_TRUE(shows(*view, block, PageIndex{page})); resident += view->bytes().size(); }
      }
      ASSERT_EQ(store_->residency(block.id).resident_bytes, resident);
      ASSERT_EQ(store_->residency(block.id).present, resident > 0);
    }
    report();
  }

  void finish() {
    views_.clear();
    fills_.clear();
    grants_.clear();
    ASSERT_LE(descriptors().memfd_bytes, charged(store_->stats()));
    store_.reset();
  }

 private:
  struct HeldView { PageView view; PageKey key; };
  struct HeldFill { PageFill fill; PageKey key; };
  struct HeldGrant { BlockGrant grant; std::uint64_t number; };  // in filling: without checksums

  PageKey any_page() {
    // Half of the choices go to a quarter of the blocks, so that something is warm.
    const std::uint64_t number = random_() % (random_() % 2 == 0 ? blocks_.size() : (blocks_.size() + 3) / 4);
    return {number, static_cast<std::uint32_t>(random_() % blocks_[number].page_count())};
  }
  const BlockRef& block(const PageKey& key) const { return blocks_[key.first]; }
  PageIndex page(const PageKey& key) const { return PageIndex{key.second}; }

  bool being_filled(const PageKey& key) const {
    return std::any_of(fills_.begin(), fills_.end(), [&](const HeldFill& held) { return held.key == key; });
  }
  // Fills whose block was freed meanwhile no longer count.
  std::optional<PageFill> start(const PageKey& key) {
    auto fill = store_->begin_fill(block(key), page(key));
    const bool expected_busy = resident_.contains(key) || (being_filled(key) && !lost_.contains(key));
    reconcile();
    if (!fill) {
      EXPECT_TRUE(fill.code() == Code::no_space || fill.code() == Code::busy) << fill.error().to_string();
      EXPECT_EQ(fill.code() == Code::busy, expected_busy);
      return std::nullopt;
    }
    EXPECT_FALSE(expected_busy);
    return std::move(*fill);
  }
  void fill_now() {
    const PageKey key = any_page();
    if (being_filled(key)) return;
    auto fill = start(key);
    if (!fill) return;
    EXPECT_TRUE(shows(fill_and_commit(*store_, std::move(*fill), block(key), page(key)), block(key), page(key)));
    resident_.insert(key);
  }
  void begin() {
    const PageKey key = any_page();
    if (fills_.size() >= 4 || being_filled(key)) return;
    auto fill = start(key);
    if (fill) fills_.push_back({std::move(*fill), key});
  }
  void finish_fill() {
    if (fills_.empty()) return;
    HeldFill held = std::move(fills_.back());
    fills_.pop_back();
    const bool lost = lost_.erase(held.key) > 0;
    if (random_() % 3 == 0) return;  // abandoned
    EXPECT_TRUE(shows(fill_and_commit(*store_, std::move(held.fill), block(held.key), page(held.key)),
                      block(held.key), page(held.key)));
    if (!lost) resident_.insert(held.key);
  }
  void look() {
    const PageKey key = any_page();
    const auto view = store_->find(block(key), page(key));
    EXPECT_EQ(view.has_value(), resident_.contains(key));
    if (view) {
      EXPECT_TRUE(shows(*view, block(key), page(key)));
    }
  }
  void hold_view() {
    const PageKey key = any_page();
    if (views_.size() >= 8) return;
    if (auto view = store_->find(block(key), page(key))) views_.push_back({std::move(*view), key});
  }
  void drop_view() {
    if (views_.empty()) return;
    const std::size_t index = random_() % views_.size();
    EXPECT_TRUE(shows(views_[index].view, block(views_[index].key), page(views_[index].key)));
    std::swap(views_[index], views_.back());
    views_.pop_back();
  }
  void grant() {
    const std::uint64_t number = any_page().first;
    if (grants_.size() >= 3) return;
    const bool in_filling = random_() % 2 == 0;
    auto grant = in_filling ? store_->grant_in_filling(blocks_[number]) : store_->grant(blocks_[number]);
    if (grant) {
      grants_.push_back({std::move(*grant), number});
    } else {
      EXPECT_TRUE(grant.code() == (in_filling ? Code::no_space : Code::not_found) || grant.code() == Code::unsupported)
          << grant.error().to_string();
    }
  }
  void release() {
    if (grants_.empty()) return;
    HeldGrant held = std::move(grants_.front());
    grants_.erase(grants_.begin());
    const BlockRef& block = blocks_[held.number];
    std::vector<std::byte> file(block.length_bytes + 1);
    ASSERT_EQ(::pread(held.grant.fd.get(), file.data(), file.size(), 0), static_cast<ssize_t>(block.length_bytes));
    file.pop_back();
    const bool whole = !held.grant.chunk_checksums.empty();
    EXPECT_TRUE(!whole || file == content(block, 0, block.length_bytes)) << "block " << held.number;
    for (std::uint32_t number = 0; number < block.page_count() && !whole; ++number) {
      const auto view = store_->find(block, PageIndex{number});
      if (!view || !store_->shows(held.grant.lease, view->bytes())) continue;
      const std::size_t at = std::size_t{number} * block.page_size_bytes;
      EXPECT_TRUE(std::equal(view->bytes().begin(), view->bytes().end(), file.begin() + static_cast<std::ptrdiff_t>(at)));
      EXPECT_TRUE(testing::shows(*view, block, PageIndex{number}));
    }
    held.grant.fd.reset();
    store_->release(held.grant.lease);
  }
  void remove() {
    const PageKey key = any_page();
    if (random_() % 4 == 0) {
      const bool goes_whole = store_->residency(block(key).id).goes_whole;
      store_->drop_corrupt(block(key).id, page(key));
      if (!resident_.contains(key)) return;
      reconcile_after_drop(key);
      if (goes_whole) lose_fills(key.first);
    } else if (random_() % 2 == 0) {
      store_->free_block(block(key).id);
      resident_.erase(resident_.lower_bound({key.first, 0}), resident_.lower_bound({key.first + 1, 0}));
      lose_fills(key.first);
    }
  }
  void lose_fills(std::uint64_t number) {
    for (const HeldFill& held : fills_) {
      if (held.key.first == number) lost_.insert(held.key);
    }
  }
  // The page went alone, or its whole block did (read or granted): residency tells which.
  void reconcile_after_drop(const PageKey& key) {
    EXPECT_FALSE(store_->find(block(key), page(key)));
    resident_.erase(key);
    const bool others = std::any_of(resident_.lower_bound({key.first, 0}), resident_.lower_bound({key.first + 1, 0}),
                                    [](const PageKey&) { return true; });
    const bool viewed = std::any_of(views_.begin(), views_.end(), [&](const HeldView& v) { return v.key == key; });
    if (others && !store_->residency(block(key).id).present) {
      resident_.erase(resident_.lower_bound({key.first, 0}), resident_.lower_bound({key.first + 1, 0}));
      lose_fills(key.first);
    } else if (!others && viewed) {
      lose_fills(key.first);
    }
  }
  // Takes out of the model what was evicted; find() is not used, it would change the order.
  void reconcile() {
    for (auto key = resident_.begin(); key != resident_.end();) {
      key = store_->residency(block(*key).id).present ? std::next(key) : resident_.erase(key);
    }
    for (auto key = resident_.begin(); key != resident_.end();) {
      const bool partly = store_->residency(block(*key).id).resident_bytes < model_bytes(key->first);
      key = partly && !store_->find(block(*key), page(*key)) ? resident_.erase(key) : std::next(key);
    }
  }
  std::uint64_t model_bytes(std::uint64_t number) const {
    std::uint64_t sum = 0;
    for (auto key = resident_.lower_bound({number, 0}); key != resident_.end() && key->first == number; ++key) {
      sum += block(*key).page_length_bytes(page(*key));
    }
    return sum;
  }
  void report() {
    const PresenceChanges changes = store_->take_changes();
    for (const BlockId& id : changes.added) EXPECT_TRUE(reported_.insert(id).second);
    for (const BlockId& id : changes.removed) EXPECT_EQ(reported_.erase(id), 1U);
    const auto all = store_->all_blocks();
    EXPECT_EQ(reported_, std::set<BlockId>(all.begin(), all.end()));
  }

  const MemoryTierOptions options_;
  const std::vector<BlockRef> blocks_;
  std::unique_ptr<BlockStore> store_;
  std::mt19937_64 random_;
  std::set<PageKey> resident_;
  std::set<PageKey> lost_;
  std::vector<HeldView> views_;
  std::vector<HeldFill> fills_;
  std::vector<HeldGrant> grants_;
  std::set<BlockId> reported_;
  std::uint64_t evicted_ = 0;
};

struct Shape {
  const char* name;
  MemoryTierOptions options;
  HugePageSupport huge;
  std::uint32_t page_size_bytes;
  std::vector<std::uint64_t> lengths;
  int steps;
};

class BlockStoreModel : public ::testing::TestWithParam<Shape> {};

TEST_P(BlockStoreModel, HoldsItsInvariantsUnderRandomOperations) {
  const Shape& shape = GetParam();
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device{}();
  const int steps = std::getenv("HEARTH_LONG") != nullptr ? shape.steps * 30 : shape.steps;
  std::cout << "seed " << seed << " (repeat with HEARTH_SEED=" << seed << "), " << steps << " steps\n";
  const std::size_t before = descriptors().count;
  std::vector<BlockRef> blocks;
  for (std::uint64_t number = 0; number < shape.lengths.size(); ++number) {
    blocks.push_back(make_block(number, shape.lengths[number], shape.page_size_bytes));
  }
  Driver driver(shape.options, shape.huge, seed, std::move(blocks));
  for (int step = 0; step < steps && !HasFailure(); ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " step " + std::to_string(step));
    driver.step();
    if (step % 997 == 0) driver.audit();
  }
  driver.finish();
  EXPECT_EQ(descriptors().count, before);
}

std::vector<std::uint64_t> mixed_lengths() {
  std::vector<std::uint64_t> lengths;
  for (std::uint64_t i = 0; i < 24; ++i) lengths.push_back(1 + i * 1777 % 40000);
  return lengths;
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BlockStoreModel,
    ::testing::Values(
        Shape{"tight", {.capacity_bytes = 128 * kib, .grant_max_fraction = 0.3}, HugePageSupport::absent, 4096,
              mixed_lengths(), 50000},
        Shape{"pooled", {.capacity_bytes = 160 * kib, .grant_max_fraction = 0.3, .pool_bytes = 40 * kib},
              HugePageSupport::absent, 16384, mixed_lengths(), 40000},
        Shape{"private", {.capacity_bytes = 160 * kib, .grant_max_fraction = 0.3, .private_below_bytes = 9000,
              .max_blocks = 6, .pool_bytes = 40 * kib}, HugePageSupport::absent, 16384, mixed_lengths(), 30000},
        Shape{"few_descriptors", {.capacity_bytes = 400 * kib, .grant_max_fraction = 0.3, .max_blocks = 9,
              .pool_bytes = 40 * kib}, HugePageSupport::absent, 16384, mixed_lengths(), 20000},
        Shape{"huge", {.capacity_bytes = 16 * mib, .grant_max_fraction = 0.3, .pool_bytes = 4 * mib},
              HugePageSupport::present, 524288, {3 * mib, 5 * mib + 9, mib + 1, 700 * kib, 2 * mib, 9 * mib, 100, mib},
              300}),
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace hearth
