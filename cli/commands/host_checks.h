// What can be seen of this host without asking the cluster.
#pragma once

#include "common/block_limits.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

enum class Verdict : std::uint8_t { good, warning, problem };

struct Check {
  std::string what;
  Verdict verdict = Verdict::good;
  std::string finding;
  std::string remedy;  // what to do; "" when nothing
};

// A mount of Hearth in /proc/self/mountinfo.
struct HearthMount {
  std::string mountpoint;
  std::string source;
};

// The lines of /proc/self/mountinfo that are file systems of Hearth, with \040 and friends undone.
std::vector<HearthMount> hearth_mounts(std::string_view mountinfo);
std::vector<HearthMount> hearth_mounts_here();

// "6.12.3-amd64" as {6, 12}.
struct KernelVersion { unsigned major = 0; unsigned minor = 0; };
KernelVersion parse_kernel_version(std::string_view release);

// The word in brackets of "always within_size [advise] never".
std::string chosen_word(std::string_view setting);

std::uint64_t available_memory_bytes();

// How many blocks a worker can share under these limits, and how to have more.
Check check_block_limits(const BlockLimits& limits);

// All checks of this host; `mountpoint` may be "".
void check_host(const std::string& mountpoint, std::vector<Check>& checks);

// Whether a FUSE mount can be made by this process; else what is missing and what to do.
Check check_fuse();

}  // namespace hearth::cli
