#include "tiering/block_store.h"

#include "common/block_limits.h"
#include "common/crc32c.h"
#include "tiering/block_store_impl.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace hearth {
namespace {

std::size_t default_max_blocks() { return read_block_limits(OpenFilesLimit::soft).shareable_blocks(); }

}  // namespace

Result<std::unique_ptr<BlockStore>> BlockStore::open(const MemoryTierOptions& options) {
  TRY(policy, make_policy(options.eviction));
  return open_block_store(options, probe_huge_pages(), std::move(policy));
}

Result<std::unique_ptr<BlockStore>> open_block_store(const MemoryTierOptions& options, HugePageSupport huge_pages,
                                                     std::unique_ptr<EvictionPolicy> policy,
                                                     std::optional<Packing> packing) {
  if (options.capacity_bytes < small_granule_bytes) {
    return Error(Code::invalid_argument, "memory tier: capacity is " + std::to_string(options.capacity_bytes) +
                                             " bytes; give at least 4KiB");
  }
  if (!(options.grant_max_fraction >= 0.0 && options.grant_max_fraction <= 1.0)) {
    return Error(Code::invalid_argument, "memory tier: grant_max_fraction must be between 0 and 1");
  }
  if (options.pool_bytes > options.capacity_bytes) {
    return Error(Code::invalid_argument, "memory tier: pool_bytes is part of the capacity and can not exceed it");
  }
  if (options.huge_pages == HugePages::require && huge_pages == HugePageSupport::absent) {
    return Error(Code::unsupported, std::string("memory tier: huge pages are required but this machine gives none to "
                                                "memfds; write \"advise\" to ") +
                                        shmem_huge_pages_path + " or set huge_pages to attempt");
  }
  MemoryTierOptions effective = options;
  if (effective.max_blocks == 0) effective.max_blocks = default_max_blocks();
  if (options.huge_pages == HugePages::off) huge_pages = HugePageSupport::absent;
  std::unique_ptr<BlockStore> store =
      std::make_unique<BlockStoreImpl>(effective, packing.value_or(Packing::of(options)), huge_pages, std::move(policy));
  return store;
}

Status BlockStore::verify(const PageView& view, std::uint64_t offset, std::uint64_t length) {
  const auto bytes = view.bytes();
  if (offset > bytes.size() || length > bytes.size() - offset) {
    return Error(Code::invalid_argument, "verify: bytes " + std::to_string(offset) + "+" + std::to_string(length) +
                                             " are not inside a page of " + std::to_string(bytes.size()));
  }
  if (length == 0) return ok();
  const std::uint64_t last = (offset + length - 1) / checksum_chunk_bytes;
  for (std::uint64_t chunk = offset / checksum_chunk_bytes; chunk <= last; ++chunk) {
    const std::uint64_t begin = chunk * checksum_chunk_bytes;
    const auto part = bytes.subspan(begin, std::min<std::uint64_t>(checksum_chunk_bytes, bytes.size() - begin));
    if (crc32c(part) != view.chunk_checksums()[chunk]) {
      return Error(Code::corrupt, "page bytes at " + std::to_string(begin) +
                                      " of the page do not match their checksum; drop the page and fetch it again");
    }
  }
  return ok();
}

PageFill::PageFill() = default;
PageFill::PageFill(PageFill&&) noexcept = default;
PageFill& PageFill::operator=(PageFill&&) noexcept = default;
PageFill::~PageFill() = default;

PageFill::State::~State() {
  // A committed fill has let its block go. Without a store the memory is an orphan and pays for itself.
  if (block != nullptr && anchor->store != nullptr) anchor->store->abandon(*block, page);
}

std::uint64_t PageFill::length_bytes() const { return state_->block->page_length_bytes(state_->page); }

std::uint64_t PageFill::takes_ahead_bytes() const {
  const Block& block = *state_->block;
  if (!block.packed()) return 0;
  const std::uint64_t missing = block.memory->missing_bytes(block.memory_offset_bytes + block.layout.length_bytes);
  return missing > length_bytes() ? missing - length_bytes() : 0;
}

Status PageFill::store(std::span<const std::byte> bytes) {
  assert(bytes.size() == length_bytes());
  const Block& block = *state_->block;
  const std::uint64_t offset = std::uint64_t{state_->page.value} * block.layout.page_size_bytes;
  CHECK_OK(block.memory->write(block.memory_offset_bytes + offset, bytes));
  state_->stored = Stored::yes;
  return ok();
}

}  // namespace hearth
