// How a file version is cut into blocks and a block into pages. Shared by master, worker and client.
#pragma once

#include "common/ids.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

inline constexpr std::uint64_t default_block_size_bytes = 1ULL << 30;  // 1 GiB
inline constexpr std::uint64_t min_block_size_bytes = 1ULL << 20;
inline constexpr std::uint64_t max_block_size_bytes = 16ULL << 30;
inline constexpr std::uint32_t default_page_size_bytes = 1U << 20;  // 1 MiB
inline constexpr std::uint32_t min_page_size_bytes = 64U << 10;
inline constexpr std::uint32_t max_page_size_bytes = 16U << 20;  // one frame carries a page
// Bytes under one CRC32C. A page (1 MiB) carries 16 of them, so a 4 KiB read verifies 64 KiB
// (about 4 us) and not the whole page (about 70 us); see docs/adr/0002-checksum-chunks.md.
inline constexpr std::uint32_t checksum_chunk_bytes = 64U << 10;

// How a reader goes through a block, as the worker that serves it sees it.
enum class AccessPattern : std::uint8_t { unknown, sequential, random, whole_file };

// What rules may match on besides a block's path and bytes. No part of its id: the same block whoever owns or reads its file.
struct BlockFile {
  static constexpr std::uint32_t unknown_id = 0xFFFFFFFF;  // no user has it
  static constexpr std::uint32_t unknown_mode = 0xFFFFFFFF;
  std::uint64_t length_bytes = 0;  // of the whole file; 0: not known
  std::uint32_t uid = unknown_id;  // the owner, as the master resolved it
  std::uint32_t gid = unknown_id;
  std::uint32_t mode = unknown_mode;  // permission bits (07777)
  std::string tenant;              // of whoever resolved it; "" for none
  AccessPattern pattern = AccessPattern::unknown;  // set by the worker that serves a read, never sent
};

// What a worker needs to know to hold, serve and fetch a block. Made by the master for each
// resolved file version and carried by the client in every request.
struct BlockRef {
  BlockId id;
  AttachmentId attachment;
  std::string store_path;   // path inside the under-store, no leading slash
  std::string version;      // opaque file version, see understore/under_store.h
  FileOffset start;         // where the block begins in the file
  std::uint64_t length_bytes = 0;  // of this block
  std::uint32_t page_size_bytes = default_page_size_bytes;
  BlockFile file;

  // Of the whole file; of what is known to exist of it, where nobody said.
  std::uint64_t file_length_bytes() const {
    return file.length_bytes == 0 ? start.value + length_bytes : file.length_bytes;
  }
  std::uint32_t page_count() const {
    return static_cast<std::uint32_t>((length_bytes + page_size_bytes - 1) / page_size_bytes);
  }
  // Bytes of page `page`; the last one is short.
  std::uint32_t page_length_bytes(PageIndex page) const {
    const std::uint64_t begin = std::uint64_t{page.value} * page_size_bytes;
    const std::uint64_t left = length_bytes - begin;
    return static_cast<std::uint32_t>(left < page_size_bytes ? left : page_size_bytes);
  }
};

// Which bytes of a file version a block is, and how it is paged. Part of its id: an attachment with another block size
// cuts other blocks of the same file, and each name must mean the same bytes for ever.
struct BlockSpan {
  std::uint64_t start_bytes = 0;
  std::uint64_t length_bytes = 0;
  std::uint32_t page_size_bytes = default_page_size_bytes;
};

// XXH3-128 of "hearth-block-3\0" store \0 store_path \0 version \0 start, length, page size (8 bytes each,
// little-endian). `store` is what store_identity() says (understore/store_factory.h): the URI and where it is served.
BlockId block_id(std::string_view store, std::string_view store_path, std::string_view version, BlockSpan span);

// The blocks of a file of `length_bytes`, in order; none for an empty file. They know the file's length, not its owner.
std::vector<BlockRef> cut_into_blocks(std::string_view store, AttachmentId attachment,
                                      std::string_view store_path, std::string_view version,
                                      std::uint64_t length_bytes, std::uint64_t block_size_bytes,
                                      std::uint32_t page_size_bytes);

}  // namespace hearth
