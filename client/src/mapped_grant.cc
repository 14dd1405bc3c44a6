#include "client/src/mapped_grant.h"

#include "common/block.h"
#include "common/crc32c.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace hearth::client {
namespace {

// Populating pays for itself while the whole block is likely to be read at once.
constexpr std::uint64_t populate_up_to_bytes = 2U << 20;

std::size_t chunk_count(std::uint64_t length_bytes) {
  return static_cast<std::size_t>((length_bytes + checksum_chunk_bytes - 1) / checksum_chunk_bytes);
}

}  // namespace

Result<std::shared_ptr<MappedGrant>> MappedGrant::map(Parts parts, OnUnmapped on_unmapped) {
  auto grant = std::make_shared<MappedGrant>(std::move(parts), std::move(on_unmapped));
  CHECK_OK(grant->map_memory());
  return grant;
}

// A mapping of memory that can shrink turns a read into SIGBUS, so the seals are checked and not believed.
Status MappedGrant::map_memory() {
  const std::size_t chunks = chunk_count(parts_.length_bytes);
  if (parts_.chunk_checksums.empty()) {
    known_ = make_bits(chunks);
    unknown_chunks_ = chunks;
    parts_.chunk_checksums.resize(chunks);
  }
  if (parts_.chunk_checksums.size() != chunks) {
    return Error(Code::bad_frame, "a grant of block " + parts_.block.to_hex() + " came with " +
                                      std::to_string(parts_.chunk_checksums.size()) + " checksums for " +
                                      std::to_string(parts_.length_bytes) + " bytes");
  }
  const int wanted = F_SEAL_SHRINK;
  const int seals = ::fcntl(parts_.fd.get(), F_GET_SEALS);
  struct stat info {};
  const bool known = seals >= 0 && ::fstat(parts_.fd.get(), &info) == 0;
  const auto size = known ? static_cast<std::uint64_t>(info.st_size) : 0;
  if (!known || (seals & wanted) != wanted || parts_.length_bytes == 0 || parts_.fd_offset_bytes > size ||
      parts_.length_bytes > size - parts_.fd_offset_bytes) {
    return Error(Code::bad_frame, "the descriptor granted for block " + parts_.block.to_hex() +
                                      " is not a sealed memory file that holds the block; the block is read through the worker");
  }
  const auto os_page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t slack = parts_.fd_offset_bytes % os_page;
  mapping_bytes_ = static_cast<std::size_t>(parts_.length_bytes + slack);
  // Populating would fill the holes of a block in filling.
  const bool populate = !known_ && parts_.length_bytes <= populate_up_to_bytes;
  const int flags = MAP_SHARED | (populate ? MAP_POPULATE : 0);
  void* mapping = ::mmap(nullptr, mapping_bytes_, PROT_READ, flags, parts_.fd.get(),
                         static_cast<off_t>(parts_.fd_offset_bytes - slack));
  if (mapping == MAP_FAILED) {
    return Error(code_from_errno(errno), "could not map block " + parts_.block.to_hex() + ": " + std::strerror(errno));
  }
  (void)::madvise(mapping, mapping_bytes_, MADV_DONTFORK);
  closed_in_child(parts_.fd.get());
  mapping_ = mapping;
  data_ = static_cast<const std::byte*>(mapping) + slack;
  verified_ = make_bits(chunks);
  return ok();
}

MappedGrant::~MappedGrant() {
  retire();
  if (mapping_ != nullptr) ::munmap(mapping_, mapping_bytes_);  // only when map_memory() failed half-way
}

bool MappedGrant::pin() {
  const std::uint64_t before = state_.fetch_add(1, std::memory_order_acquire);
  if ((before & retired_bit) == 0) return true;
  unpin();
  return false;
}

void MappedGrant::unpin() {
  const std::uint64_t after = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  if (after == retired_bit) try_unmap();
}

void MappedGrant::retire() {
  const std::uint64_t before = state_.fetch_or(retired_bit, std::memory_order_acq_rel);
  if ((before & (retired_bit | pin_mask)) == 0) try_unmap();
}

// Several may get here (a refused pin that leaves looks like the last one); one wins.
void MappedGrant::try_unmap() {
  std::uint64_t expected = retired_bit;
  if (!state_.compare_exchange_strong(expected, retired_bit | unmapped_bit, std::memory_order_acq_rel)) return;
  if (mapping_ == nullptr) return;
  if (fork_.is_child()) on_unmapped_ = nullptr;  // the lease is the parent's
  const bool mapped_here = !fork_.is_child() || kept_in_child_.load();
  if (mapped_here) {
    ::munmap(mapping_, mapping_bytes_);
    hearth::kept_in_child(parts_.fd.get());
  } else {
    (void)parts_.fd.release();  // closed already
  }
  mapping_ = nullptr;
  parts_.fd.reset();
  parts_.chunk_checksums = {};
  verified_.reset();
  known_.reset();
  if (on_unmapped_) std::exchange(on_unmapped_, nullptr)(parts_.lease);
}

void MappedGrant::keep_in_child() {
  if (kept_in_child_.load(std::memory_order_acquire)) return;
  hearth::kept_in_child(parts_.fd.get());
  (void)::madvise(mapping_, mapping_bytes_, MADV_DOFORK);
  kept_in_child_.store(true, std::memory_order_release);
}

void MappedGrant::let_go() {
  if (fork_.is_child()) retire();
  unpin();
}

std::uint64_t MappedGrant::readable(std::uint64_t offset, std::uint64_t length) const {
  if (!known_ || complete()) return length;
  std::uint64_t end = offset;
  while (end < offset + length) {
    const auto chunk = static_cast<std::size_t>(end / checksum_chunk_bytes);
    if ((known_[chunk / 64].load(std::memory_order_acquire) & (1ULL << (chunk % 64))) == 0) break;
    end = std::uint64_t{chunk + 1} * checksum_chunk_bytes;
  }
  return std::min(end, offset + length) - offset;
}

void MappedGrant::learn(std::size_t first_chunk, std::span<const std::uint32_t> checksums) {
  if (!known_) return;
  const std::size_t end = std::min(first_chunk + checksums.size(), parts_.chunk_checksums.size());
  for (std::size_t chunk = first_chunk; chunk < end; ++chunk) {
    std::atomic<std::uint64_t>& word = known_[chunk / 64];
    const std::uint64_t bit = 1ULL << (chunk % 64);
    if ((word.load(std::memory_order_relaxed) & bit) != 0) continue;  // readers use it already
    parts_.chunk_checksums[chunk] = checksums[chunk - first_chunk];
    word.fetch_or(bit, std::memory_order_release);
    unknown_chunks_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

std::optional<std::uint64_t> MappedGrant::first_wrong(std::uint64_t offset, std::uint64_t length, Verify mode) {
  if (mode == Verify::off || length == 0) return std::nullopt;
  const std::size_t first = static_cast<std::size_t>(offset / checksum_chunk_bytes);
  const std::size_t last = static_cast<std::size_t>((offset + length - 1) / checksum_chunk_bytes);
  for (std::size_t chunk = first; chunk <= last; ++chunk) {
    std::atomic<std::uint64_t>& word = verified_[chunk / 64];
    const std::uint64_t bit = 1ULL << (chunk % 64);
    if (mode == Verify::once && (word.load(std::memory_order_acquire) & bit) != 0) continue;
    const std::uint64_t begin = std::uint64_t{chunk} * checksum_chunk_bytes;
    const std::uint64_t count = std::min<std::uint64_t>(checksum_chunk_bytes, parts_.length_bytes - begin);
    if (crc32c(bytes().subspan(begin, count)) != parts_.chunk_checksums[chunk]) return begin;
    word.fetch_or(bit, std::memory_order_release);
  }
  return std::nullopt;
}

}  // namespace hearth::client
