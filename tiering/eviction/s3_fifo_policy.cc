#include "tiering/eviction/ghost_table.h"
#include "tiering/eviction/slot_lists.h"
#include "tiering/eviction_policy.h"

#include <algorithm>

namespace hearth {
namespace {

// S3-FIFO with the paper's parameters: a small queue of a tenth of the bytes, a main queue with the rest, 2-bit
// frequencies, promotion of what was read at least twice while small, and as many ghosts as main has room for.
// A hit writes one byte. A main queue full of hot slots is not walked to its end: after max_looks_per_victim
// second chances the next slot that may go, goes.
class S3FifoPolicy final : public EvictionPolicy {
 public:
  explicit S3FifoPolicy(const EvictionOptions& options)
      : lists_(options.expected_slots), ghosts_(ghosts_for(options.expected_slots)) {
    frequency_.reserve(options.expected_slots);
  }

  void inserted(EvictionSlot slot, std::uint64_t fingerprint, std::uint64_t charge_bytes) override {
    if (slot >= frequency_.size()) frequency_.resize(slot + 1);
    frequency_[slot] = 0;
    lists_.insert(ghosts_.take(fingerprint) ? main : small, slot, fingerprint, charge_bytes);
  }

  void touched(EvictionSlot slot) override {
    if (frequency_[slot] < max_frequency) ++frequency_[slot];
  }

  void removed(EvictionSlot slot, Removal why) override {
    if (why == Removal::evicted && lists_.list_of(slot) == small) {
      ghosts_.put(lists_.fingerprint(slot), ghosts_for(lists_.total_slots()));
    }
    lists_.remove(slot);
  }

  std::optional<EvictionSlot> victim(const Evictable& evictable) override {
    const bool small_is_full = lists_.bytes(small) * small_share >= lists_.total_bytes();
    const bool main_waits = main_patience_.spent();
    if (!small_is_full && !main_waits) {
      if (const auto slot = main_victim(evictable)) return slot;
    }
    if (const auto slot = small_victim(evictable)) return slot;
    return small_is_full || main_waits ? main_victim(evictable) : std::nullopt;
  }

  std::size_t memory_bytes() const override {
    return lists_.memory_bytes() + ghosts_.memory_bytes() + frequency_.capacity();
  }

 private:
  enum List : std::uint32_t { small, main };
  static constexpr std::uint8_t max_frequency = 3;
  static constexpr std::uint8_t promotion_frequency = 2;
  static constexpr std::uint64_t small_share = 10;  // one in ten bytes

  static std::size_t ghosts_for(std::size_t slots) { return slots - slots / small_share; }

  std::optional<EvictionSlot> small_victim(const Evictable& evictable) {
    const std::uint32_t looks = std::min(lists_.slots(small), max_looks_per_victim);
    for (std::uint32_t look = 0; look < looks; ++look) {
      const EvictionSlot slot = lists_.oldest(small);
      if (frequency_[slot] >= promotion_frequency) {
        frequency_[slot] = 0;
        lists_.move(main, slot);
      } else if (evictable(slot)) {
        return slot;
      } else {
        lists_.move(main, slot);  // in use, which is as good as read again; and it is not met here twice
      }
    }
    return std::nullopt;
  }

  std::optional<EvictionSlot> main_victim(const Evictable& evictable) {
    const std::uint32_t slots = lists_.slots(main);
    // Frequencies are spent after three rounds; a fourth one meets every slot that may go.
    const std::uint32_t chances = slots < max_looks_per_victim / max_frequency ? slots * max_frequency : max_looks_per_victim;
    const std::uint32_t looks = chances + std::min(slots, max_looks_per_victim);
    for (std::uint32_t look = 0; look < looks; ++look) {
      const EvictionSlot slot = lists_.oldest(main);
      if (frequency_[slot] > 0 && look < chances) {
        --frequency_[slot];
      } else if (evictable(slot)) {
        return slot;
      }
      lists_.move(main, slot);
    }
    main_patience_.found_nothing(looks);
    return std::nullopt;
  }

  eviction::SlotLists<2> lists_;
  std::vector<std::uint8_t> frequency_;  // apart from the lists: ten million hit counters fit a large cache
  eviction::GhostQueue ghosts_;
  eviction::Patience main_patience_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_s3_fifo_policy(const EvictionOptions& options) {
  return std::make_unique<S3FifoPolicy>(options);
}

}  // namespace hearth
