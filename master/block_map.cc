#include "master/block_map.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>
#include <new>
#include <unordered_map>

namespace hearth::master {

namespace {

constexpr std::size_t shard_count = 1024;
constexpr std::size_t inline_slots = 4;
constexpr std::uint16_t no_slot = std::numeric_limits<std::uint16_t>::max();
constexpr std::size_t max_slots = no_slot - 1;

// Counts what it hands out, so that memory_bytes() is exact.
template <class T>
struct CountingAllocator {
  using value_type = T;
  std::uint64_t* bytes;
  explicit CountingAllocator(std::uint64_t* counter) : bytes(counter) {}
  template <class U>
  CountingAllocator(const CountingAllocator<U>& other) : bytes(other.bytes) {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) {
    *bytes += n * sizeof(T);
    return static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(alignof(T))));
  }
  void deallocate(T* at, std::size_t n) {
    *bytes -= n * sizeof(T);
    ::operator delete(at, std::align_val_t(alignof(T)));
  }
  template <class U>
  bool operator==(const CountingAllocator<U>& other) const { return bytes == other.bytes; }
};

struct Slots {
  std::array<std::uint16_t, inline_slots> at{no_slot, no_slot, no_slot, no_slot};
};

using Row = std::pair<const BlockId, Slots>;
static_assert(sizeof(Row) == 24);
using Shard = boost::unordered_flat_map<BlockId, Slots, BlockIdHash, std::equal_to<BlockId>, CountingAllocator<Row>>;

struct SlotState {
  WorkerId worker;
  std::uint64_t blocks = 0;
  enum class Use : std::uint8_t { free, live, dropped, dropped_while_sweeping } use = Use::free;
};

}  // namespace

struct BlockMap::Impl {
  Impl() {
    shards.reserve(shard_count);
    for (std::size_t i = 0; i < shard_count; ++i) shards.emplace_back(CountingAllocator<Row>(&bytes));
  }

  // Shard by the high half, place in the shard by a hash dominated by the low half.
  Shard& shard(const BlockId& block) { return shards[block.high >> 54]; }
  bool live(std::uint16_t slot) const { return slot != no_slot && slots[slot].use == SlotState::Use::live; }

  std::uint64_t bytes = 0;
  std::vector<Shard> shards;
  // More than four copies of one block are rare: the rest of its slots.
  std::unordered_map<BlockId, std::vector<std::uint16_t>, BlockIdHash> spilled;
  std::vector<SlotState> slots;
  std::size_t sweep_at = 0;  // next shard; 0 and nothing dropped: idle
  std::size_t dropped = 0;
};

BlockMap::BlockMap() : impl_(std::make_unique<Impl>()) {}
BlockMap::~BlockMap() = default;

SlotIndex BlockMap::open_slot(WorkerId worker) {
  auto& slots = impl_->slots;
  auto is_free = [](const SlotState& slot) { return slot.use == SlotState::Use::free; };
  auto found = std::find_if(slots.begin(), slots.end(), is_free);
  if (found == slots.end() && slots.size() == max_slots) {
    while (needs_sweep()) sweep_step();
    found = std::find_if(slots.begin(), slots.end(), is_free);
    assert(found != slots.end() && "more report sets than workers can have");
  }
  if (found == slots.end()) found = slots.insert(slots.end(), SlotState());
  found->worker = worker;
  found->blocks = 0;
  found->use = SlotState::Use::live;
  return SlotIndex{static_cast<std::uint16_t>(found - slots.begin())};
}

void BlockMap::drop_slot(SlotIndex slot) {
  SlotState& state = impl_->slots.at(slot.value);
  assert(state.use == SlotState::Use::live);
  if (state.blocks == 0) {
    state.use = SlotState::Use::free;
    return;
  }
  // A sweep that has begun has passed some of its rows already: it is swept by the next one.
  state.use = impl_->sweep_at == 0 ? SlotState::Use::dropped : SlotState::Use::dropped_while_sweeping;
  ++impl_->dropped;
}

void BlockMap::add(const BlockId& block, SlotIndex slot) {
  assert(impl_->live(slot.value));
  Slots& row = impl_->shard(block)[block];
  std::uint16_t* room = nullptr;
  for (std::uint16_t& at : row.at) {
    if (at == slot.value) return;
    if (room == nullptr && !impl_->live(at) && at == no_slot) room = &at;
  }
  const auto spilled = impl_->spilled.find(block);
  if (spilled != impl_->spilled.end() &&
      std::find(spilled->second.begin(), spilled->second.end(), slot.value) != spilled->second.end()) {
    return;
  }
  if (room != nullptr) {
    *room = slot.value;
  } else {
    impl_->spilled[block].push_back(slot.value);
  }
  ++impl_->slots[slot.value].blocks;
}

void BlockMap::remove(const BlockId& block, SlotIndex slot) {
  Shard& shard = impl_->shard(block);
  const auto found = shard.find(block);
  if (found == shard.end()) return;
  auto& at = found->second.at;
  const auto place = std::find(at.begin(), at.end(), slot.value);
  const auto spilled = impl_->spilled.find(block);
  if (place != at.end()) {
    *place = no_slot;
    --impl_->slots[slot.value].blocks;
  } else if (spilled != impl_->spilled.end() && std::erase(spilled->second, slot.value) > 0) {
    --impl_->slots[slot.value].blocks;
  }
  if (spilled != impl_->spilled.end()) {
    if (!spilled->second.empty()) return;
    impl_->spilled.erase(spilled);
  }
  if (std::all_of(at.begin(), at.end(), [](std::uint16_t one) { return one == no_slot; })) shard.erase(found);
}

std::vector<WorkerId> BlockMap::locations(const BlockId& block) const {
  std::vector<WorkerId> out;
  auto add_worker = [&](std::uint16_t slot) {
    if (!impl_->live(slot)) return;
    const WorkerId worker = impl_->slots[slot].worker;
    if (std::find(out.begin(), out.end(), worker) == out.end()) out.push_back(worker);
  };
  Shard& shard = impl_->shard(block);
  const auto found = shard.find(block);
  if (found == shard.end()) return out;
  for (const std::uint16_t slot : found->second.at) add_worker(slot);
  const auto spilled = impl_->spilled.find(block);
  if (spilled != impl_->spilled.end()) {
    for (const std::uint16_t slot : spilled->second) add_worker(slot);
  }
  return out;
}

bool BlockMap::is_in(const BlockId& block, SlotIndex slot) const {
  Shard& shard = impl_->shard(block);
  const auto found = shard.find(block);
  if (found == shard.end()) return false;
  const auto& at = found->second.at;
  if (std::find(at.begin(), at.end(), slot.value) != at.end()) return true;
  const auto spilled = impl_->spilled.find(block);
  return spilled != impl_->spilled.end() &&
         std::find(spilled->second.begin(), spilled->second.end(), slot.value) != spilled->second.end();
}

std::uint64_t BlockMap::count(SlotIndex slot) const { return impl_->slots.at(slot.value).blocks; }

std::uint64_t BlockMap::location_count() const {
  std::uint64_t count = 0;
  for (const SlotState& slot : impl_->slots) {
    if (slot.use == SlotState::Use::live) count += slot.blocks;
  }
  return count;
}

std::uint64_t BlockMap::memory_bytes() const { return impl_->bytes; }

bool BlockMap::needs_sweep() const { return impl_->dropped > 0; }

void BlockMap::sweep_step() {
  if (impl_->dropped == 0) return;
  Shard& shard = impl_->shards[impl_->sweep_at];
  auto keep = [this](std::uint16_t slot) { return slot == no_slot || impl_->live(slot); };
  for (auto row = shard.begin(); row != shard.end();) {
    bool used = false;
    for (std::uint16_t& slot : row->second.at) {
      if (!keep(slot)) slot = no_slot;
      used = used || slot != no_slot;
    }
    const auto spilled = impl_->spilled.find(row->first);
    if (spilled != impl_->spilled.end()) {
      std::erase_if(spilled->second, [&](std::uint16_t slot) { return !keep(slot); });
      used = used || !spilled->second.empty();
      if (spilled->second.empty()) impl_->spilled.erase(spilled);
    }
    const auto looked_at = row++;
    if (!used) shard.erase(looked_at);
  }
  if (shard.size() * 4 < shard.bucket_count()) shard.rehash(0);  // memory goes back after a worker was lost
  impl_->sweep_at = (impl_->sweep_at + 1) % shard_count;
  if (impl_->sweep_at != 0) return;
  for (SlotState& slot : impl_->slots) {
    if (slot.use == SlotState::Use::dropped) {
      slot.use = SlotState::Use::free;
      --impl_->dropped;
    } else if (slot.use == SlotState::Use::dropped_while_sweeping) {
      slot.use = SlotState::Use::dropped;
    }
  }
}

}  // namespace hearth::master
