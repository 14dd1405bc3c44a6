// The bytes of what is uploaded, piece by piece: of memory, or of a file that is read in the pool.
//
// Threads: any; a value that is copied freely.
// Owns:    nothing: the memory, the descriptor and the pool outlive every copy.
// Fails:   stale (the file ends before the length it was said to have), io_error as pread(2).
#pragma once

#include "common/async.h"
#include "common/blocking.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace hearth {

class ByteSource {
 public:
  static ByteSource memory(std::span<const std::byte> bytes);
  // Bytes [0, length_bytes) of `fd`, for the object that messages call `name`. Of nothing, `fd` may be -1.
  static ByteSource file(int fd, std::uint64_t length_bytes, BlockingPool& pool, std::string name);

  std::uint64_t length_bytes() const { return length_bytes_; }

  struct Piece {
    std::vector<std::byte> owned;  // of a file; moving the piece leaves `bytes` valid
    std::span<const std::byte> bytes;
  };

 private:
  friend Task<Piece> read_piece(ByteSource source, std::uint64_t offset, std::uint64_t length_bytes,
                                std::function<void(std::span<const std::byte>)> look);

  std::span<const std::byte> bytes_;
  int fd_ = -1;
  std::uint64_t length_bytes_ = 0;
  BlockingPool* pool_ = nullptr;  // of a file
  std::string name_;
};

// Bytes [offset, offset + length_bytes), which lie within the source. `look` sees them where they are read, a file's in the
// pool: digests of large pieces belong there. What it refers to lives until the task ends.
using LookAtBytes = std::function<void(std::span<const std::byte>)>;
Task<ByteSource::Piece> read_piece(ByteSource source, std::uint64_t offset, std::uint64_t length_bytes, LookAtBytes look = {});

}  // namespace hearth
