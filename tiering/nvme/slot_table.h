// The two arrays behind the page map: entries at dense numbers that never move, and a hash table of such numbers.
//
// Threads: confined to the tier's executor.
// Owns:    its memory, of which memory_bytes() gives every byte. Growth never copies entries; the hash table grows by half,
//          so that it is at least 53 % full once it has grown.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace hearth {

// Entries in chunks, numbered from 0; given-back numbers are used again as they were left, the last one first.
template <class Entry>
class SlotArray {
 public:
  std::uint32_t take() {
    if (!free_.empty()) {
      const std::uint32_t slot = free_.back();
      free_.pop_back();
      return slot;
    }
    return grow_to(size_ + 1), size_ - 1;
  }
  void give_back(std::uint32_t slot) { free_.push_back(slot); }
  // Numbers [0, size) exist afterwards; those that nobody took are not free: see set_free().
  void grow_to(std::uint32_t size) {
    while (chunks_.size() * chunk_entries < size) chunks_.push_back(std::make_unique<Entry[]>(chunk_entries));
    if (size > size_) size_ = size;
  }
  void set_free(std::vector<std::uint32_t> slots) { free_ = std::move(slots); }

  Entry& operator[](std::uint32_t slot) { return chunks_[slot / chunk_entries][slot % chunk_entries]; }
  const Entry& operator[](std::uint32_t slot) const { return chunks_[slot / chunk_entries][slot % chunk_entries]; }
  // Numbers ever given out; each is below this.
  std::uint32_t size() const { return size_; }
  std::size_t memory_bytes() const {
    return chunks_.size() * chunk_entries * sizeof(Entry) + chunks_.capacity() * sizeof(void*) + free_.capacity() * sizeof(std::uint32_t);
  }

 private:
  static constexpr std::uint32_t chunk_entries = 4096;

  std::vector<std::unique_ptr<Entry[]>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t size_ = 0;
};

// Open addressing with linear probing; what is found at a number is asked of the caller, so an entry costs 4 bytes.
class SlotHash {
 public:
  template <class Matches>
  std::optional<std::uint32_t> find(std::uint64_t hash, Matches matches) const {
    if (cells_.empty()) return std::nullopt;
    for (std::size_t at = home(hash, cells_.size()); cells_[at] != none; at = next(at)) {
      if (matches(cells_[at])) return cells_[at];
    }
    return std::nullopt;
  }
  template <class HashOf>
  void insert(std::uint32_t slot, HashOf hash_of) {
    if ((used_ + 1) * 5 > cells_.size() * 4) rehash(cells_.size() + cells_.size() / 2 + 16, hash_of);
    place(cells_, slot, hash_of(slot));
    ++used_;
  }
  // Closes the gap by moving later entries back: no tombstones, so it never slows down with age.
  template <class HashOf>
  void erase(std::uint32_t slot, HashOf hash_of) {
    std::size_t gap = home(hash_of(slot), cells_.size());
    while (cells_[gap] != slot) {
      assert(cells_[gap] != none && "what is erased was inserted");
      gap = next(gap);
    }
    for (std::size_t at = next(gap); cells_[at] != none; at = next(at)) {
      const std::size_t wanted = home(hash_of(cells_[at]), cells_.size());
      const std::size_t from_wanted = at >= wanted ? at - wanted : at + cells_.size() - wanted;
      const std::size_t from_gap = at >= gap ? at - gap : at + cells_.size() - gap;
      if (from_wanted < from_gap) continue;
      cells_[gap] = cells_[at];
      gap = at;
    }
    cells_[gap] = none;
    --used_;
  }
  template <class HashOf>
  void reserve(std::size_t count, HashOf hash_of) {
    if (count * 5 / 4 + 16 > cells_.size()) rehash(count * 5 / 4 + 16, hash_of);
  }
  std::size_t size() const { return used_; }
  std::size_t memory_bytes() const { return cells_.capacity() * sizeof(std::uint32_t); }

 private:
  static constexpr std::uint32_t none = 0xFFFFFFFF;

  // Multiplication instead of a remainder: any size will do, and neighbours in hash order are neighbours in the table.
  static std::size_t home(std::uint64_t hash, std::size_t size) {
    return static_cast<std::size_t>((static_cast<unsigned __int128>(hash) * size) >> 64);
  }
  std::size_t next(std::size_t at) const { return at + 1 == cells_.size() ? 0 : at + 1; }
  static void place(std::vector<std::uint32_t>& cells, std::uint32_t slot, std::uint64_t hash) {
    std::size_t at = home(hash, cells.size());
    while (cells[at] != none) at = at + 1 == cells.size() ? 0 : at + 1;
    cells[at] = slot;
  }
  template <class HashOf>
  void rehash(std::size_t size, HashOf hash_of) {
    std::vector<std::uint32_t> cells(size, none);
    for (const std::uint32_t slot : cells_) {
      if (slot != none) place(cells, slot, hash_of(slot));
    }
    cells_.swap(cells);
  }

  std::vector<std::uint32_t> cells_;
  std::size_t used_ = 0;
};

}  // namespace hearth
