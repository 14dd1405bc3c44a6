// What the tests of packed blocks share: blocks that have an owner, in small segments.
#pragma once

#include "tiering/tiering_test_support.h"

#include <sys/mman.h>

namespace hearth::testing {

inline constexpr Packing small_segments{.below_bytes = 8 * kib, .segment_bytes = 32 * kib};

inline BlockRef owned_block(std::uint64_t number, std::uint64_t length_bytes, std::uint32_t uid = 1000) {
  BlockRef block = make_block(number, length_bytes, 1U << 20);
  block.attachment = AttachmentId{3};
  block.file.uid = uid;
  block.file.gid = 100;
  block.file.mode = 0640;
  return block;
}

inline std::unique_ptr<BlockStore> open_packing(const MemoryTierOptions& options, const Packing& packing,
                                                HugePageSupport huge = HugePageSupport::absent) {
  return open_block_store(options, huge, make_lru_policy(), packing).value();
}

inline Result<BlockGrant> grant_segment_of(BlockStore& store, const BlockRef& block) {
  const auto place = store.packed_place(block.id);
  if (!place) return Error(Code::not_found, "not packed");
  return store.grant_segment(block, place->segment);
}

// A client's mapping of a segment.
class MappedSegment {
 public:
  explicit MappedSegment(const BlockGrant& grant) : length_bytes_(grant.length_bytes) {
    void* mapping = ::mmap(nullptr, length_bytes_, PROT_READ, MAP_SHARED, grant.fd.get(), 0);
    EXPECT_NE(mapping, MAP_FAILED);
    base_ = static_cast<const std::byte*>(mapping);
  }
  ~MappedSegment() { ::munmap(const_cast<std::byte*>(base_), length_bytes_); }
  MappedSegment(const MappedSegment&) = delete;
  MappedSegment& operator=(const MappedSegment&) = delete;

  bool shows(const BlockRef& block, std::uint64_t offset) const {
    const auto expected = page_content(block, PageIndex{0});
    return std::memcmp(base_ + offset, expected.data(), expected.size()) == 0;
  }

 private:
  const std::byte* base_ = nullptr;
  std::uint64_t length_bytes_;
};

}  // namespace hearth::testing
