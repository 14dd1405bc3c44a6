// What every engine asks of a call before it touches a file: its name, and the alignment of direct ones.
#pragma once

#include "tiering/disk/disk.h"

namespace hearth::disk {

// Fails: invalid_argument. Refuses "", ".", "..", "/x", "a/b/c" and every byte outside of [a-zA-Z0-9._-].
Status check_name(std::string_view name);
// The directory of a checked name, "" for the top one.
std::string_view directory_of(std::string_view name);
// Fails: invalid_argument. `memory` is the address of the bytes.
Status check_range(DiskCaching caching, std::uint64_t offset, const void* memory, std::uint64_t length_bytes);

// What read() answers when the file ended before the range did.
Error short_read(std::string_view name, std::uint64_t offset, std::uint64_t length_bytes);

inline constexpr std::size_t max_component_bytes = 255;

}  // namespace hearth::disk
