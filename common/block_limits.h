// How many shareable blocks the kernel lets one process have: each holds a descriptor (of its memfd) and a mapping.
//
// Threads: pure, but for read_block_limits().
#pragma once

#include <cstdint>

namespace hearth {

struct BlockLimits {
  std::uint64_t open_files = 1024;  // RLIMIT_NOFILE; UINT64_MAX when there is none
  std::uint64_t mappings = 65'530;  // vm.max_map_count

  std::uint64_t by_open_files() const { return open_files / 2; }
  std::uint64_t by_mappings() const { return mappings / 4 * 3; }
  // The rest of either is for connections, files, libraries and threads.
  std::uint64_t shareable_blocks() const;
};

// soft: what this process has now. hard: what it can raise itself to.
enum class OpenFilesLimit : std::uint8_t { soft, hard };
BlockLimits read_block_limits(OpenFilesLimit which);

}  // namespace hearth
