#include "understore/open_file.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace hearth {
namespace {

constexpr std::size_t alignment_bytes = 4096;
// Shorter reads gain nothing: the device's latency is most of their cost.
constexpr std::size_t direct_from_bytes = 128U << 10;

// cachestat(2), Linux 6.5; glibc has no name for it yet.
constexpr long cachestat_number = 451;
struct CacheRange {
  std::uint64_t offset;
  std::uint64_t length;
};
struct CacheStatus {
  std::uint64_t cached_pages;
  std::uint64_t dirty_pages;
  std::uint64_t writeback_pages;
  std::uint64_t evicted_pages;
  std::uint64_t recently_evicted_pages;
};

bool aligned(std::uint64_t value) { return value % alignment_bytes == 0; }

// Nothing written is on its way to the disk, and most of the range would have to come from it. A kernel that does not
// tell leaves the choice to the page cache.
bool mostly_uncached(int fd, std::uint64_t offset, std::size_t length) {
  CacheRange range{offset, length};
  CacheStatus status{};
  if (::syscall(cachestat_number, fd, &range, &status, 0U) != 0) return false;
  return status.dirty_pages == 0 && status.writeback_pages == 0 && status.cached_pages * 2 * alignment_bytes < length;
}

}  // namespace

OpenFile::OpenFile(UniqueFd fd) : fd_(std::move(fd)) {}

int OpenFile::direct_fd() const {
  std::call_once(direct_tried_, [this] {
    const std::string self = "/proc/self/fd/" + std::to_string(fd_.get());
    direct_ = UniqueFd(::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_DIRECT));
  });
  return direct_ ? direct_.get() : -1;
}

ssize_t OpenFile::read(std::span<std::byte> into, std::uint64_t offset) const {
  const std::size_t whole = into.size() - into.size() % alignment_bytes;
  const bool may_be_direct = whole >= direct_from_bytes && aligned(offset) &&
                             aligned(reinterpret_cast<std::uintptr_t>(into.data()));
  if (may_be_direct && mostly_uncached(fd_.get(), offset, whole)) {
    const int direct = direct_fd();
    // A device with larger sectors refuses; what it did not read is read the other way.
    const ssize_t count = direct < 0 ? -1 : ::pread(direct, into.data(), whole, static_cast<off_t>(offset));
    if (count >= 0) return count;
  }
  return ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset));
}

}  // namespace hearth
