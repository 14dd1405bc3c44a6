// Open files by id, and how many calls use each: close() waits for those.
//
// Threads: confined to one executor.
#pragma once

#include "tiering/disk/completion.h"
#include "tiering/disk/disk.h"

#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace hearth::disk {

// An id is never valid again after its file was closed.
template <class Entry>
class FileTable {
 public:
  struct Slot {
    Entry entry{};
    std::uint32_t generation = 0;
    std::uint32_t in_flight = 0;
    bool open = false;
    bool closing = false;
    Completion<> closer;  // waits for in_flight == 0
  };

  std::pair<DiskFileId, Slot*> add(Entry entry) {
    std::uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(slots_.size());
      slots_.emplace_back();
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Slot& slot = slots_[index];
    slot.entry = std::move(entry);
    slot.open = true;
    slot.closing = false;
    ++slot.generation;
    return {DiskFileId{std::uint64_t{slot.generation} << 32 | index}, &slot};
  }
  // null when it is closed or closing.
  Slot* find(DiskFileId id) {
    Slot* slot = any(id);
    return slot != nullptr && !slot->closing ? slot : nullptr;
  }
  static std::uint32_t index_of(DiskFileId id) { return static_cast<std::uint32_t>(id.value); }
  Entry remove(DiskFileId id) {
    Slot* slot = any(id);
    assert(slot != nullptr && slot->in_flight == 0);
    slot->open = false;
    free_.push_back(index_of(id));
    return std::exchange(slot->entry, Entry{});
  }
  // Those that nobody closes yet.
  std::vector<DiskFileId> ids() const {
    std::vector<DiskFileId> open;
    for (std::uint32_t i = 0; i < slots_.size(); ++i) {
      if (slots_[i].open && !slots_[i].closing) open.push_back(DiskFileId{std::uint64_t{slots_[i].generation} << 32 | i});
    }
    return open;
  }

 private:
  Slot* any(DiskFileId id) {
    const std::uint32_t index = index_of(id);
    if (index >= slots_.size()) return nullptr;
    Slot& slot = slots_[index];
    return slot.open && slot.generation == id.value >> 32 ? &slot : nullptr;
  }

  std::deque<Slot> slots_;  // a deque: slots stay where they are
  std::vector<std::uint32_t> free_;
};

inline Error not_open(DiskFileId file) {
  return Error(Code::invalid_argument, "disk file " + std::to_string(file.value) + " is not open");
}

}  // namespace hearth::disk
