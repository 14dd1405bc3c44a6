// Whole reads and writes of a descriptor: a system call that ends early goes on, EINTR asks again.
//
// Threads: any; every call blocks.
// Fails:   with the code and the errno of the system call (Error::error_number); `what` names the file and comes first.
#pragma once

#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace hearth {

// "<what>: <call>: No space left on device", of the present errno.
Error system_call_failed(std::string_view what, std::string_view call);

// Short only at the end of the file.
Result<std::size_t> read_at(int fd, std::span<std::byte> into, std::uint64_t offset, std::string_view what);
// All of `bytes`.
Status write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset, std::string_view what);
// All of `bytes` behind what is there, whoever else appends: in one piece, unless the file system ends the call early.
Status append_to(int fd, std::span<const std::byte> bytes, std::string_view what);

}  // namespace hearth
