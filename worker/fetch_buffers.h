// Page-sized buffers that under-store reads land in before the page is stored in the tier.
//
// Reused, because fresh memory costs a page fault per 4 KiB (about 4 us) where the copy itself costs 0.3 us; and a
// buffer that was just filled is still in the CPU's cache when its checksums are taken and it is stored.
//
// Threads: confined to the data thread; the bytes of a buffer may be written by one other thread.
// Bounds:  keeps at most `keep_bytes` of idle buffers; how many are out is bounded by the fetches at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <vector>

namespace hearth::worker {

class FetchBuffers {
 public:
  class Buffer {
   public:
    Buffer() = default;
    std::span<std::byte> first(std::size_t length) const { return {bytes_.get(), length}; }

   private:
    friend class FetchBuffers;
    struct Free {
      void operator()(std::byte* bytes) const { ::operator delete[](bytes, alignment); }
    };
    std::unique_ptr<std::byte[], Free> bytes_;
    std::size_t capacity_ = 0;
  };

  explicit FetchBuffers(std::size_t keep_bytes) : keep_bytes_(keep_bytes) {}

  Buffer take(std::size_t length) {
    for (Buffer& idle : idle_) {
      if (idle.capacity_ < length) continue;
      std::swap(idle, idle_.back());
      Buffer found = std::move(idle_.back());
      idle_.pop_back();
      idle_bytes_ -= found.capacity_;
      return found;
    }
    Buffer fresh;
    fresh.bytes_.reset(static_cast<std::byte*>(::operator new[](length, alignment)));
    fresh.capacity_ = length;
    return fresh;
  }

  void give_back(Buffer buffer) {
    if (idle_bytes_ + buffer.capacity_ > keep_bytes_) return;
    idle_bytes_ += buffer.capacity_;
    idle_.push_back(std::move(buffer));
  }

 private:
  // What direct I/O of an under-store asks for.
  static constexpr std::align_val_t alignment{4096};

  const std::size_t keep_bytes_;
  std::size_t idle_bytes_ = 0;
  std::vector<Buffer> idle_;
};

}  // namespace hearth::worker
