#include "common/block_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>

namespace hearth {

std::uint64_t BlockLimits::shareable_blocks() const {
  return std::max<std::uint64_t>(std::min(by_open_files(), by_mappings()), 1);
}

BlockLimits read_block_limits(OpenFilesLimit which) {
  BlockLimits limits;
  std::uint64_t mappings = 0;
  if (std::ifstream("/proc/sys/vm/max_map_count") >> mappings) limits.mappings = mappings;
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return limits;
  const rlim_t chosen = which == OpenFilesLimit::soft ? files.rlim_cur : files.rlim_max;
  limits.open_files = chosen == RLIM_INFINITY ? UINT64_MAX : chosen;
  return limits;
}

}  // namespace hearth
