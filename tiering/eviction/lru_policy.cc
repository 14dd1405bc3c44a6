#include "tiering/eviction/slot_lists.h"
#include "tiering/eviction_policy.h"

#include <algorithm>

namespace hearth {
namespace {

class LruPolicy final : public EvictionPolicy {
 public:
  explicit LruPolicy(const EvictionOptions& options) : lists_(options.expected_slots) {}

  void inserted(EvictionSlot slot, std::uint64_t fingerprint, std::uint64_t charge_bytes) override {
    lists_.insert(0, slot, fingerprint, charge_bytes);
  }
  void touched(EvictionSlot slot) override { lists_.move(0, slot); }
  void removed(EvictionSlot slot, Removal) override { lists_.remove(slot); }

  std::optional<EvictionSlot> victim(const Evictable& evictable) override {
    const std::uint32_t looks = std::min(lists_.slots(0), max_looks_per_victim);
    for (std::uint32_t look = 0; look < looks; ++look) {
      const EvictionSlot slot = lists_.oldest(0);
      if (evictable(slot)) return slot;
      lists_.move(0, slot);
    }
    return std::nullopt;
  }

  std::size_t memory_bytes() const override { return lists_.memory_bytes(); }

 private:
  eviction::SlotLists<1> lists_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru_policy(const EvictionOptions& options) {
  return std::make_unique<LruPolicy>(options);
}

}  // namespace hearth
