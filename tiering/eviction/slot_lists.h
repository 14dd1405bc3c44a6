// Doubly linked lists of dense slots through one array: what every eviction policy keeps its order in.
//
// Threads: confined, like the policy.
// Owns:    24 bytes per slot: links, fingerprint, charge and the list that it is in.
#pragma once

#include "tiering/eviction/huge_allocator.h"
#include "tiering/eviction_policy.h"

#include <array>
#include <cassert>
#include <vector>

namespace hearth::eviction {

// After a walk through a queue that found nothing to give up: leave it alone for as many calls as the walk had
// looks, while another queue has something. So walks through queues full of slots in use cost O(1) a call.
class Patience {
 public:
  bool spent() {
    if (calls_left_ == 0) return false;
    --calls_left_;
    return true;
  }
  void found_nothing(std::uint32_t looks) { calls_left_ = looks; }

 private:
  std::uint32_t calls_left_ = 0;
};

// `list_count` lists; a slot is in at most one of them.
template <std::uint32_t list_count>
class SlotLists {
 public:
  static constexpr std::uint32_t none = 0xFF;  // "in no list"

  explicit SlotLists(std::size_t expected_slots) {
    nodes_.reserve(expected_slots + list_count);
    nodes_.resize(list_count);
    for (std::uint32_t list = 0; list < list_count; ++list) nodes_[list].newer = nodes_[list].older = list;
  }

  void insert(std::uint32_t list, EvictionSlot slot, std::uint64_t fingerprint, std::uint64_t charge_bytes) {
    const std::uint32_t link = slot + list_count;
    if (link >= nodes_.size()) nodes_.resize(link + 1);
    assert(nodes_[link].list == none && "a slot is inserted once");
    nodes_[link].fingerprint = fingerprint;
    nodes_[link].charge_bytes = charge_bytes;
    push_newest(list, link);
  }
  void remove(EvictionSlot slot) {
    assert(listed(slot) && "only what was inserted can be removed");
    unlink(slot + list_count);
    nodes_[slot + list_count].list = none;
  }
  // To the young end of `list`, from wherever it is.
  void move(std::uint32_t list, EvictionSlot slot) {
    unlink(slot + list_count);
    push_newest(list, slot + list_count);
  }

  bool listed(EvictionSlot slot) const {
    return slot + list_count < nodes_.size() && nodes_[slot + list_count].list != none;
  }
  std::uint32_t list_of(EvictionSlot slot) const { return static_cast<std::uint32_t>(nodes_[slot + list_count].list); }
  std::uint64_t fingerprint(EvictionSlot slot) const { return nodes_[slot + list_count].fingerprint; }
  // Of every slot that is in a list, in no order.
  template <class Visit>
  void for_each_fingerprint(Visit visit) const {
    for (std::size_t link = list_count; link < nodes_.size(); ++link) {
      if (nodes_[link].list != none) visit(nodes_[link].fingerprint);
    }
  }
  EvictionSlot oldest(std::uint32_t list) const {
    assert(slots_[list] > 0);
    return nodes_[list].newer - list_count;
  }
  // Asks memory for what remove() and move() will need: first the slot, then, when it is here, those beside it.
  void prefetch(EvictionSlot slot) const { __builtin_prefetch(&nodes_[slot + list_count], 1); }
  void prefetch_beside(EvictionSlot slot) const {
    const Node& node = nodes_[slot + list_count];
    __builtin_prefetch(&nodes_[node.newer], 1);
    __builtin_prefetch(&nodes_[node.older], 1);
  }

  std::uint64_t bytes(std::uint32_t list) const { return bytes_[list]; }
  std::uint32_t slots(std::uint32_t list) const { return slots_[list]; }
  std::uint64_t total_bytes() const {
    std::uint64_t total = 0;
    for (const std::uint64_t bytes : bytes_) total += bytes;
    return total;
  }
  std::size_t total_slots() const {
    std::size_t total = 0;
    for (const std::uint32_t slots : slots_) total += slots;
    return total;
  }
  std::size_t memory_bytes() const { return nodes_.capacity() * sizeof(Node); }

 private:
  // The first `list_count` nodes are the rings' heads: head.newer is the oldest, head.older the newest.
  struct Node {
    std::uint32_t newer = 0;
    std::uint32_t older = 0;
    std::uint64_t fingerprint = 0;
    std::uint64_t charge_bytes : 56 = 0;
    std::uint64_t list : 8 = none;
  };
  static_assert(sizeof(Node) == 24);

  void push_newest(std::uint32_t list, std::uint32_t link) {
    Node& node = nodes_[link];
    const std::uint32_t newest = nodes_[list].older;
    node.newer = list;
    node.older = newest;
    node.list = list;
    nodes_[newest].newer = link;
    nodes_[list].older = link;
    bytes_[list] += node.charge_bytes;
    ++slots_[list];
  }
  void unlink(std::uint32_t link) {
    const Node& node = nodes_[link];
    nodes_[node.older].newer = node.newer;
    nodes_[node.newer].older = node.older;
    bytes_[node.list] -= node.charge_bytes;
    --slots_[node.list];
  }

  std::vector<Node, HugeAllocator<Node>> nodes_;
  std::array<std::uint64_t, list_count> bytes_{};
  std::array<std::uint32_t, list_count> slots_{};
};

}  // namespace hearth::eviction
