// Bytes fetched ahead of a sequential reader of blocks that are not mapped.
//
// Threads: take() and saw_read() from any; fetching is confined to the io thread (ReadEngine does it).
// Owns:    its buffers: at most chunk_count of them, reused while the file is open (fresh memory costs a page fault
//          per 4 KiB, more than receiving it).
// Bounds:  `limit_bytes` per file, in chunks of a quarter of that.
#pragma once

#include "client/src/signal.h"

#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace hearth::client {

class Readahead {
 public:
  static constexpr std::size_t chunk_count = 4;
  struct Chunk {
    std::uint64_t offset = 0;
    std::vector<std::byte> bytes;
    std::size_t length = 0;
    // Guarded by Readahead::mutex_
    enum class State : std::uint8_t { loading, ready, failed } state = State::loading;
    unsigned readers = 0;
    std::size_t taken = 0;  // bytes that readers have had
    // Io thread only
    std::shared_ptr<Signal> landed = std::make_shared<Signal>();
  };
  using ChunkPtr = std::shared_ptr<Chunk>;  // shared: the fetch fills it, the reader may give it up meanwhile

  explicit Readahead(std::uint64_t limit_bytes);

  // A read of [offset, offset + length) is about to happen. True: it continues a sequential stream.
  bool saw_read(std::uint64_t offset, std::size_t length);
  // Copies what is there, from the front; bytes copied. Chunks that were read whole, in whatever order, go.
  std::size_t take(std::span<std::byte> into, std::uint64_t offset);
  // The chunk that holds `offset`, if any.
  ChunkPtr find(std::uint64_t offset);
  // First byte at or after `offset` that some chunk covers; `end` when none does before it.
  std::uint64_t next_covered(std::uint64_t offset, std::uint64_t end);
  // What lies before `end` is being read by itself: no chunk of this stream begins there any more.
  void read_alone(std::uint64_t end);
  // The next chunk to fetch for a reader that is at `position` of a file of `file_length`, or nothing to do.
  ChunkPtr begin_fetch(std::uint64_t position, std::uint64_t file_length);
  void end_fetch(const ChunkPtr& chunk, const Status& status);
  void close();

 private:
  void reset_locked();
  void recycle_locked(ChunkPtr chunk);

  const std::uint64_t chunk_bytes_;
  const std::uint64_t slack_bytes_;
  std::mutex mutex_;
  // Guarded by mutex_
  std::deque<ChunkPtr> chunks_;  // in file order
  std::vector<std::vector<std::byte>> spare_;
  std::uint64_t expected_ = 0;
  std::uint64_t begun_until_ = 0;  // of this stream; what was asked for is not asked for again
  unsigned streak_ = 0;
  std::size_t loading_ = 0;  // of all streams: what was given up still occupies its buffer
  bool closed_ = false;
};

}  // namespace hearth::client
