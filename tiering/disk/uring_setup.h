// Making and ending rings: which flags this kernel has, and why there may be no ring at all.
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <memory>

struct io_uring;

namespace hearth::disk {

inline constexpr std::uint64_t min_arena_bytes = 2ULL << 20;  // the least that is worth registering

// A ring that nobody issues to yet. Fails: unsupported, with the reason.
Result<std::unique_ptr<io_uring>> make_ring(std::uint32_t queue_depth);
// Makes the calling thread its issuer.
bool start_ring(io_uring& ring);
// By the issuer, or after its end.
void end_ring(io_uring& ring, bool is_issuer);

}  // namespace hearth::disk
