// The object behind a version, where versions tell: those of local stores do ("l1-<inode>-...", understore/local_object.h).
//
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

// The inode in hex; "" when the version does not tell. Two versions of one object share it, so an overwritten file is told
// from one that was put in its place.
std::string_view object_identity(std::string_view version);

// The same, with the file system where it is not that of the store's root: no two objects of a store share it.
std::string object_key(std::string_view version);

// A number for st_ino, the same for all versions and names of an object; 0 when the version does not tell.
std::uint64_t object_number(std::string_view version);

// The version without the mark of an object that had changed just before ("-n..."): two that are equal without it may still
// be two contents.
std::string_view without_nonce(std::string_view version);
inline bool has_nonce(std::string_view version) { return without_nonce(version).size() != version.size(); }

}  // namespace hearth
