// What the tests of the memory tier share: blocks whose bytes are a function of (block, offset).
#pragma once

#include "common/crc32c.h"
#include "tiering/block_store_impl.h"

#include <gtest/gtest.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace hearth::testing {

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;

inline BlockRef make_block(std::uint64_t number, std::uint64_t length_bytes, std::uint32_t page_size_bytes = 4 * kib) {
  BlockRef block;
  block.id = BlockId{.high = 7, .low = number};
  block.store_path = "secret-user-path";
  block.version = "v1";
  block.length_bytes = length_bytes;
  block.page_size_bytes = page_size_bytes;
  return block;
}

// Eight bytes of the content of `block` at word `index`. Never all zero.
inline std::uint64_t content_word(const BlockRef& block, std::uint64_t index) {
  std::uint64_t x = (block.id.low + 1) * 0x9E3779B97F4A7C15ULL + index * 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 29;
  return x | 1;
}

inline std::vector<std::byte> content(const BlockRef& block, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t first = offset / 8;
  const std::uint64_t last = (offset + length + 7) / 8;
  std::vector<std::uint64_t> words(last - first);
  for (std::uint64_t i = 0; i < words.size(); ++i) words[i] = content_word(block, first + i);
  std::vector<std::byte> bytes(length);
  std::memcpy(bytes.data(), reinterpret_cast<const std::byte*>(words.data()) + (offset - first * 8), length);
  return bytes;
}

inline std::vector<std::byte> page_content(const BlockRef& block, PageIndex page) {
  return content(block, std::uint64_t{page.value} * block.page_size_bytes, block.page_length_bytes(page));
}

inline std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

inline bool shows(const PageView& view, const BlockRef& block, PageIndex page) {
  const auto expected = page_content(block, page);
  return view.bytes().size() == expected.size() &&
         std::memcmp(view.bytes().data(), expected.data(), expected.size()) == 0;
}

inline PageView fill_and_commit(BlockStore& store, PageFill fill, const BlockRef& block, PageIndex page) {
  const auto bytes = page_content(block, page);
  EXPECT_TRUE(fill.store(bytes));
  return store.commit(std::move(fill), chunk_checksums(bytes));
}

inline Status put_page(BlockStore& store, const BlockRef& block, std::uint32_t page) {
  TRY(fill, store.begin_fill(block, PageIndex{page}));
  fill_and_commit(store, std::move(fill), block, PageIndex{page});
  return ok();
}

inline Status put_block(BlockStore& store, const BlockRef& block) {
  for (std::uint32_t page = 0; page < block.page_count(); ++page) CHECK_OK(put_page(store, block, page));
  return ok();
}

inline std::unique_ptr<BlockStore> open_store(const MemoryTierOptions& options,
                                              HugePageSupport huge = HugePageSupport::absent) {
  return open_block_store(options, huge, make_lru_policy()).value();
}

inline std::uint64_t charged(const MemoryTierStats& stats) {
  return stats.resident_bytes + stats.filling_bytes + stats.orphaned_bytes + stats.pooled_bytes;
}

// Open descriptors of this process; the one that counts them is left out.
struct Descriptors {
  std::size_t count = 0;
  std::uint64_t memfd_bytes = 0;  // really allocated in this project's memfds, each file once
};

inline Descriptors descriptors() {
  Descriptors found;
  std::set<ino_t> seen;
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == ::dirfd(directory)) continue;
    ++found.count;
    char target[256] = {};
    if (::readlink(("/proc/self/fd/" + std::string(entry->d_name)).c_str(), target, sizeof target - 1) <= 0) continue;
    struct stat status {};
    if (std::string_view(target).starts_with("/memfd:hearth") && ::fstat(fd, &status) == 0 &&
        seen.insert(status.st_ino).second) {
      found.memfd_bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
  }
  ::closedir(directory);
  return found;
}

}  // namespace hearth::testing
