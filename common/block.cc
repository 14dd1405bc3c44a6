#include "common/block.h"

#include <xxhash.h>

#include <algorithm>
#include <cassert>

namespace hearth {
namespace {

// Part of the identity of every cached block: a new layout of the hash input gets a new name.
constexpr std::string_view domain{"hearth-block-3", sizeof("hearth-block-3")};

void append_zero_terminated(std::string& input, std::string_view part) {
  input.append(part);
  input.push_back('\0');
}

}  // namespace

BlockId block_id(std::string_view store, std::string_view store_path, std::string_view version, BlockSpan span) {
  std::string input;
  input.reserve(domain.size() + store.size() + store_path.size() + version.size() + 3 + 3 * sizeof(std::uint64_t));
  input.append(domain);  // with its zero
  append_zero_terminated(input, store);
  append_zero_terminated(input, store_path);
  append_zero_terminated(input, version);
  for (const std::uint64_t number : {span.start_bytes, span.length_bytes, std::uint64_t{span.page_size_bytes}}) {
    for (int shift = 0; shift < 64; shift += 8) input.push_back(static_cast<char>((number >> shift) & 0xFF));
  }
  const XXH128_hash_t hash = XXH3_128bits(input.data(), input.size());
  return BlockId{hash.high64, hash.low64};
}

std::vector<BlockRef> cut_into_blocks(std::string_view store, AttachmentId attachment,
                                      std::string_view store_path, std::string_view version,
                                      std::uint64_t length_bytes, std::uint64_t block_size_bytes,
                                      std::uint32_t page_size_bytes) {
  assert(block_size_bytes > 0 && page_size_bytes > 0);
  std::vector<BlockRef> blocks;
  const std::uint64_t count = length_bytes / block_size_bytes + (length_bytes % block_size_bytes != 0 ? 1 : 0);
  blocks.reserve(count);
  for (std::uint64_t index = 0; index < count; ++index) {
    const std::uint64_t start = index * block_size_bytes;
    BlockRef block;
    block.attachment = attachment;
    block.store_path = store_path;
    block.version = version;
    block.start = FileOffset{start};
    block.length_bytes = std::min(block_size_bytes, length_bytes - start);
    block.page_size_bytes = page_size_bytes;
    block.file.length_bytes = length_bytes;
    const BlockSpan span{start, block.length_bytes, page_size_bytes};
    block.id = block_id(store, store_path, version, span);
    blocks.push_back(std::move(block));
  }
  return blocks;
}

}  // namespace hearth
