// Locks between the wire and the types of hearth/locks.h.
//
// Threads: pure functions.
// Fails:   invalid_argument: a range that ends before it begins, or an object of no or too many bytes.
#pragma once

#include <hearth/locks.h>

#include <cstddef>

namespace hearth::proto {
class FileLock;
}

namespace hearth {

inline constexpr std::size_t max_lock_object_bytes = 8192;  // a path and a bit

void lock_to_wire(const FileLock& lock, proto::FileLock& out);
Result<FileLock> lock_from_wire(const proto::FileLock& wire);

}  // namespace hearth
