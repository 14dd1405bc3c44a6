#include "tiering/eviction_policy.h"

#include <cassert>
#include <vector>

namespace hearth {
namespace {

// A doubly linked list through arrays; index 0 is the ring's head, slot s is link s + 1.
class LruPolicy final : public EvictionPolicy {
 public:
  LruPolicy() : links_(1) {}

  void inserted(EvictionSlot slot, std::uint64_t) override {
    const std::uint32_t link = slot + 1;
    if (link >= links_.size()) links_.resize(link + 1);
    assert(!links_[link].listed);
    push_newest(link);
  }
  void touched(EvictionSlot slot) override {
    assert(links_[slot + 1].listed);
    unlink(slot + 1);
    push_newest(slot + 1);
  }
  void removed(EvictionSlot slot, Removal) override {
    assert(links_[slot + 1].listed);
    unlink(slot + 1);
  }
  std::optional<EvictionSlot> victim(const Evictable& evictable) override {
    for (std::uint32_t link = links_[0].newer; link != 0; link = links_[link].newer) {
      if (evictable(link - 1)) return link - 1;
    }
    return std::nullopt;
  }

 private:
  struct Link {
    std::uint32_t newer = 0;
    std::uint32_t older = 0;
    bool listed = false;
  };

  void push_newest(std::uint32_t link) {
    const std::uint32_t newest = links_[0].older;
    links_[link] = Link{.newer = 0, .older = newest, .listed = true};
    links_[newest].newer = link;
    links_[0].older = link;
  }
  void unlink(std::uint32_t link) {
    links_[links_[link].older].newer = links_[link].newer;
    links_[links_[link].newer].older = links_[link].older;
    links_[link].listed = false;
  }

  std::vector<Link> links_;  // [0].newer is the oldest, [0].older the newest
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru_policy() { return std::make_unique<LruPolicy>(); }

}  // namespace hearth
