#include "tiering/block_memory.h"

#include "tiering/huge_pages.h"
#include "tiering/memory_release.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <string>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U  // Linux 6.3
#endif

namespace hearth {
namespace {

Error system_error(const char* what) {
  const int number = errno;
  const bool exhausted = number == ENOMEM || number == ENOSPC || number == EMFILE || number == ENFILE || number == EAGAIN;
  return Error(exhausted ? Code::no_space : Code::io_error,
               std::string("memory tier: ") + what + " failed: " + std::strerror(number) +
                   "; check the memory limit, the descriptor limit and the configured capacity");
}

// The name is visible in /proc to everybody on the host, so it says nothing about the user's data.
UniqueFd create_memfd() {
  static constexpr const char* name = "hearth-block";
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL));
  if (!fd && errno == EINVAL) fd = UniqueFd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return fd;
}

}  // namespace

BlockMemory::BlockMemory(std::shared_ptr<Budget> budget, UniqueFd fd, Granule granule)
    : budget_(std::move(budget)), fd_(std::move(fd)), granule_(granule) {
  if (shareable()) budget_->memory_opened();
}

BlockMemory::~BlockMemory() {
  const bool shared = shareable();
  if (shared && base_ != nullptr) ::munmap(base_, mapped_bytes_);
  fd_.reset();
  budget_->uncharge(Charge::orphaned, orphaned_bytes_);  // now that the kernel has it
  if (leaving_) budget_->left(orphaned_bytes_);
  if (shared) budget_->memory_closed();
}

void BlockMemory::let_go(BlockMemory* memory) {
  const std::shared_ptr<MemoryRelease> release = memory->release_;
  std::shared_ptr<BlockMemory> last(memory);
  if (release != nullptr) release->release(std::move(last));
}

Result<std::shared_ptr<BlockMemory>> BlockMemory::create(std::shared_ptr<Budget> budget, std::uint64_t length_bytes,
                                                         Granule granule, Sharing sharing) {
  if (sharing == Sharing::never) {
    std::shared_ptr<BlockMemory> memory(new BlockMemory(std::move(budget), UniqueFd(), granule));
    memory->private_bytes_ = std::make_unique_for_overwrite<std::byte[]>(length_bytes);
    memory->base_ = memory->private_bytes_.get();
    memory->length_bytes_ = length_bytes;
    return memory;
  }
  UniqueFd fd = create_memfd();
  if (!fd) return system_error("memfd_create");
  std::shared_ptr<BlockMemory> memory(new BlockMemory(std::move(budget), std::move(fd), granule));
  CHECK_OK(memory->resize(length_bytes));
  return memory;
}

Result<std::shared_ptr<BlockMemory>> BlockMemory::create_segment(std::shared_ptr<Budget> budget,
                                                                 std::uint64_t length_bytes, std::uint64_t small_bytes,
                                                                 Granule beyond, std::shared_ptr<MemoryRelease> release) {
  UniqueFd fd = create_memfd();
  if (!fd) return system_error("memfd_create");
  std::shared_ptr<BlockMemory> memory(new BlockMemory(std::move(budget), std::move(fd), beyond), &BlockMemory::let_go);
  memory->small_bytes_ = std::min(small_bytes, length_bytes);
  memory->populated_ = memory->small_bytes_;
  CHECK_OK(memory->resize(length_bytes));
  if (beyond == Granule::huge) ::madvise(memory->base_, memory->small_bytes_, MADV_NOHUGEPAGE);
  CHECK_OK(memory->seal_size());
  memory->release_ = std::move(release);
  return memory;
}

Status BlockMemory::resize(std::uint64_t length_bytes) {
  assert(shareable() && !sealed());
  // Exact from the start: shrinking to it when the block is sealed would split the huge page at its end.
  if (::ftruncate(fd_.get(), static_cast<off_t>(length_bytes)) != 0) return system_error("ftruncate of a memfd");
  if (length_bytes > mapped_bytes_) CHECK_OK(map(length_bytes));
  length_bytes_ = length_bytes;
  return ok();
}

// What the kernel holds of it: whole pages.
std::uint64_t BlockMemory::paged_bytes() const { return round_up(length_bytes_, small_granule_bytes); }

Status BlockMemory::map(std::uint64_t length_bytes) {
  // A huge block's mapping covers whole huge pages, else its tail would be mapped by small ones.
  const std::uint64_t granule = granule_ == Granule::huge ? huge_granule_bytes : small_granule_bytes;
  const std::uint64_t wanted = round_up(length_bytes, granule);
  void* address = base_ == nullptr
                      ? ::mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0)
                      : ::mremap(base_, mapped_bytes_, wanted, MREMAP_MAYMOVE);
  if (address == MAP_FAILED) return system_error("mapping a memfd");
  base_ = static_cast<std::byte*>(address);
  mapped_bytes_ = wanted;
  // NOHUGEPAGE keeps the accounting exact where the machine's default is "always".
  ::madvise(base_, mapped_bytes_, granule_ == Granule::huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  return ok();
}

std::uint64_t BlockMemory::extent_bytes(std::uint64_t end) const {
  const bool small = granule_ == Granule::small || end <= small_bytes_;
  return std::min(round_up(end, small ? small_granule_bytes : huge_granule_bytes), length_bytes_);
}

std::uint64_t BlockMemory::missing_bytes(std::uint64_t end) const {
  if (granule_ == Granule::small) return 0;
  const std::uint64_t extent = extent_bytes(end);
  const std::uint64_t populated = populated_.load(std::memory_order_acquire);
  return extent > populated ? extent - populated : 0;
}

Status BlockMemory::populate(std::uint64_t begin, std::uint64_t end) {
  int result = 0;
  do {
    result = ::madvise(base_ + begin, end - begin, MADV_POPULATE_WRITE);
  } while (result != 0 && errno == EINTR);
  // EINVAL: a kernel before 5.14; the copy then takes its page faults one by one.
  if (result != 0 && errno != EINVAL) return system_error("taking memory");
  return ok();
}

// Others may write their parts at the same time. Slots come in order, so what huge pages hold before this one is charged
// as well.
Status BlockMemory::write_mapped(std::uint64_t offset, std::span<const std::byte> bytes) {
  const std::uint64_t end = offset + bytes.size();
  const std::uint64_t small_end = granule_ == Granule::small ? length_bytes_ : small_bytes_;
  if (offset < small_end) {
    const std::uint64_t begin = offset / small_granule_bytes * small_granule_bytes;
    CHECK_OK(populate(begin, std::min(round_up(end, small_granule_bytes), small_end)));
  }
  const std::uint64_t extent = extent_bytes(end);
  std::uint64_t populated = populated_.load(std::memory_order_acquire);
  if (granule_ == Granule::huge && extent > populated) {
    CHECK_OK(populate(populated, extent));
    while (populated < extent && !populated_.compare_exchange_weak(populated, extent, std::memory_order_acq_rel)) {
    }
  }
  std::memcpy(base_ + offset, bytes.data(), bytes.size());
  return ok();
}

Status BlockMemory::write_segment(std::uint64_t offset, std::span<const std::byte> bytes) {
  const bool huge = granule_ == Granule::huge && offset + bytes.size() > small_bytes_;
  if (huge || held_by_others_.load(std::memory_order_acquire)) return write_mapped(offset, bytes);
  Status written = write_by_descriptor(offset, bytes);
  // Granted meanwhile: the descriptor takes nothing any more.
  if (!written && held_by_others_.load(std::memory_order_acquire)) return write_mapped(offset, bytes);
  return written;
}

Status BlockMemory::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (small_bytes_ > 0) return write_segment(offset, bytes);
  assert(sealed_ != Sealed::yes && offset % small_granule_bytes == 0 && offset + bytes.size() <= length_bytes_);
  if (!shareable()) {
    std::memcpy(base_ + offset, bytes.data(), bytes.size());
    return ok();
  }
  if (granule_ == Granule::huge) {
    CHECK_OK(populate(offset, offset + round_up(bytes.size(), small_granule_bytes)));
    std::memcpy(base_ + offset, bytes.data(), bytes.size());
    return ok();
  }
  return write_by_descriptor(offset, bytes);
}

Status BlockMemory::write_by_descriptor(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("writing to a memfd");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return ok();
}

void BlockMemory::punch(std::uint64_t offset, std::uint64_t length) {
  assert(!sealed());
  if (!shareable()) return;
  const std::uint64_t end = round_up(offset + length, small_granule_bytes);
  const std::uint64_t stop = std::min(end, paged_bytes());  // half a page would be zeroed, not given back
  if (offset >= stop) return;
  [[maybe_unused]] const int result = ::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                                  static_cast<off_t>(offset), static_cast<off_t>(stop - offset));
  assert(result == 0 && "a hole can always be punched into an unsealed memfd");
}

Status BlockMemory::seal_size() {
  assert(shareable());
  if (sealed()) return ok();
  // The mode keeps other users from opening it anew for writing.
  if (::fchmod(fd_.get(), 0400) != 0) return system_error("fchmod of a memfd");
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) return system_error("sealing a memfd");
  sealed_ = Sealed::size;
  return ok();
}

Status BlockMemory::seal() {
  if (sealed_ == Sealed::yes) return ok();
  CHECK_OK(seal_size());
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) != 0) return system_error("sealing a memfd");
  // Our own mapping predates the seal and could still write: published bytes never change.
  if (::mprotect(base_, mapped_bytes_, PROT_READ) != 0) return system_error("protecting a sealed block");
  sealed_ = Sealed::yes;
  return ok();
}

Status BlockMemory::seal_against_others() {
  if (held_by_others_.load(std::memory_order_relaxed)) return ok();
  held_by_others_.store(true, std::memory_order_release);  // first: a write that the seal refuses goes the other way
  if (::fcntl(fd_.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0) return ok();
  held_by_others_.store(false, std::memory_order_release);
  return system_error("sealing a segment");
}

Result<UniqueFd> BlockMemory::open_read_only() const {
  assert(sealed());
  const std::string path = "/proc/self/fd/" + std::to_string(fd_.get());
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return system_error("opening a sealed block read-only through /proc/self/fd");
  return fd;
}

void BlockMemory::unprotect_for_test() {
  if (!shareable()) return;
  [[maybe_unused]] const int result = ::mprotect(base_, mapped_bytes_, PROT_READ | PROT_WRITE);
  assert(result == 0);
}

}  // namespace hearth
