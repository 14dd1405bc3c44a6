#include "tiering/eviction/frequency_sketch.h"
#include "tiering/eviction/slot_lists.h"
#include "tiering/eviction/touch_queue.h"
#include "tiering/eviction_policy.h"

#include <algorithm>

namespace hearth {
namespace {

// W-TinyLFU: a window of one hundredth of the bytes in LRU order, and a segmented LRU of which four fifths are
// protected. What falls out of the window is a candidate: it stays only if it was seen more often than the
// coldest of probation.
//
// The contest is held when room is needed and not when the window overflows, since a tier that evicts between
// watermarks makes room in batches: what left the window meanwhile waits in `candidates`, its turn unpaid.
//
// A touch takes effect up to 16 touches later (touch_queue.h); a slot with one under way is never the victim.
class WTinyLfuPolicy final : public EvictionPolicy {
 public:
  explicit WTinyLfuPolicy(const EvictionOptions& options)
      : lists_(options.expected_slots), sketch_(options.expected_slots) {}

  void inserted(EvictionSlot slot, std::uint64_t fingerprint, std::uint64_t charge_bytes) override {
    lists_.insert(window, slot, fingerprint, charge_bytes);
    sketch_.grow_to(lists_.total_slots(), [this](auto visit) { lists_.for_each_fingerprint(visit); });
    // Counted with the next one, when its line is here; it leaves the window no earlier.
    sketch_.prefetch(fingerprint);
    if (newest_) sketch_.saw(*newest_);
    newest_ = fingerprint;
    const std::uint64_t share = lists_.total_bytes() / window_share;
    while (lists_.bytes(window) > share && lists_.slots(window) > 1) {
      const EvictionSlot leaving = lists_.oldest(window);
      sketch_.prefetch(lists_.fingerprint(leaving));
      lists_.move(contested_ ? candidates : probation, leaving);
      prefetch_second(window);
    }
  }

  void touched(EvictionSlot slot) override {
    lists_.prefetch(slot);
    const EvictionSlot due = touches_.push(slot);
    if (due != eviction::TouchQueue::none) apply_touch(due);
    const EvictionSlot coming = touches_.half_way();
    if (coming == eviction::TouchQueue::none) return;
    lists_.prefetch_beside(coming);
    sketch_.prefetch(lists_.fingerprint(coming));
  }

  // The sketch remembers what was evicted: it is the ghost list.
  void removed(EvictionSlot slot, Removal) override {
    for (std::uint32_t touches = touches_.drop(slot); touches > 0; --touches) sketch_.saw(lists_.fingerprint(slot));
    lists_.remove(slot);
    // The next contest is between these two.
    for (const List list : {candidates, probation}) {
      if (lists_.slots(list) == 0) continue;
      sketch_.prefetch(lists_.fingerprint(lists_.oldest(list)));
      prefetch_second(list);
    }
  }

  std::optional<EvictionSlot> victim(const Evictable& evictable) override {
    const auto slot = find_victim(evictable);
    if (!slot || !touches_.contains(*slot)) return slot;
    for (std::uint32_t i = 0; i < eviction::TouchQueue::length; ++i) {
      const EvictionSlot due = touches_.push(eviction::TouchQueue::none);
      if (due != eviction::TouchQueue::none) apply_touch(due);
    }
    return find_victim(evictable);
  }

  std::size_t memory_bytes() const override { return lists_.memory_bytes() + sketch_.memory_bytes(); }

 private:
  enum List : std::uint32_t { window, candidates, probation, protected_ };
  // With a candidate at hand, a probation that is full of slots in use is not walked for its opponent.
  static constexpr std::uint32_t contest_looks = 16;
  static constexpr std::uint64_t window_share = 100;  // one in a hundred bytes
  static constexpr std::uint64_t protected_share = 4;
  static constexpr std::uint64_t protected_share_of = 5;

  void apply_touch(EvictionSlot slot) {
    sketch_.saw(lists_.fingerprint(slot));
    if (lists_.list_of(slot) == window) {
      lists_.move(window, slot);
      return;
    }
    lists_.move(protected_, slot);
    const std::uint64_t share = (lists_.total_bytes() - lists_.bytes(window)) / protected_share_of * protected_share;
    while (lists_.bytes(protected_) > share && lists_.slots(protected_) > 1) {
      lists_.move(probation, lists_.oldest(protected_));
      prefetch_second(protected_);
    }
  }

  std::optional<EvictionSlot> find_victim(const Evictable& evictable) {
    contested_ = true;
    const auto candidate = first_candidate(evictable);
    const auto coldest = first_evictable(probation, evictable, candidate ? contest_looks : max_looks_per_victim);
    if (candidate && coldest) {
      if (seen(*candidate) <= seen(*coldest)) return candidate;
      lists_.move(probation, *candidate);
      return coldest;
    }
    if (candidate) return candidate;
    if (coldest) return coldest;
    for (const List list : {protected_, window}) {
      if (const auto slot = first_evictable(list, evictable, max_looks_per_victim)) return slot;
    }
    return std::nullopt;
  }

  // The oldest of a list was just loaded when the one before it left; the one after it is needed when it leaves.
  void prefetch_second(List list) const { lists_.prefetch_beside(lists_.oldest(list)); }

  std::uint32_t seen(EvictionSlot slot) const { return sketch_.estimate(lists_.fingerprint(slot)); }
  std::optional<EvictionSlot> first_candidate(const Evictable& evictable) {
    const std::uint32_t looks = std::min(lists_.slots(candidates), max_looks_per_victim);
    for (std::uint32_t look = 0; look < looks; ++look) {
      const EvictionSlot slot = lists_.oldest(candidates);
      if (evictable(slot)) return slot;
      lists_.move(probation, slot);  // in use: let in without a contest, and not met here twice
    }
    return std::nullopt;
  }
  std::optional<EvictionSlot> first_evictable(List list, const Evictable& evictable, std::uint32_t max_looks) {
    const std::uint32_t looks = std::min(lists_.slots(list), max_looks);
    for (std::uint32_t look = 0; look < looks; ++look) {
      const EvictionSlot slot = lists_.oldest(list);
      if (evictable(slot)) return slot;
      lists_.move(list, slot);
    }
    return std::nullopt;
  }

  eviction::SlotLists<4> lists_;
  eviction::FrequencySketch sketch_;
  eviction::TouchQueue touches_;
  std::optional<std::uint64_t> newest_;  // inserted last and not counted yet
  bool contested_ = false;  // room was needed at least once; before that everything is let in
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_w_tinylfu_policy(const EvictionOptions& options) {
  return std::make_unique<WTinyLfuPolicy>(options);
}

}  // namespace hearth
