// How a file of the operating system looks as an object of a store, and how its version is made.
//
// Version of a file or symlink: "l1-<inode>-<ctime ns>-<length>", hex, and "-d<device>" on a file system
// mounted beneath the root. Of a directory: "l1-<inode>-<mtime ns>-<ctime ns>". The kernel stamps
// times from a clock that ticks every 1 to 10 ms, so a second change within the tick gives the same
// version: a version is settled once the last change is 20 ms old. A file that never settles, and a
// directory whose last change is less than 2 s old, gets a version with a nonce ("-n..."), which no
// later look repeats.
// Limit: a change through a shared mapping reaches ctime only when the kernel next faults or writes
// the page, and bytes of such a file may be older or newer than its version says.
//
// Threads: any; these block, so call them from the pool.
#pragma once

#include "understore/confined_root.h"
#include "understore/under_store.h"

#include <chrono>
#include <string>
#include <string_view>

namespace hearth {

inline constexpr std::chrono::milliseconds settle_time{20};
// Names of a directory are believed unchanged only when its last change is this old (1 s timestamps exist); until then
// each look gives its version another nonce.
inline constexpr std::chrono::seconds directory_settle_time{2};

enum class Settled : std::uint8_t { yes, no };

struct LocalObject {
  ObjectInfo info;
  Settled settled = Settled::yes;
};

// What `fd` is, without following it; `name` becomes the object's name.
Result<LocalObject> look_at_fd(const ConfinedRoot& root, int fd, std::string_view path);
// The entry `name` of the directory `fd`; not_found when it vanished.
Result<LocalObject> look_at_entry(const ConfinedRoot& root, int fd, const std::string& name, std::string_view directory);

// ok when `fd` has this version now: stale otherwise. A version with a nonce is believed only while
// the file has been quiet for settle_time.
Status check_version(const ConfinedRoot& root, int fd, std::string_view path, std::string_view version);

// Marks the version as one that is never seen again.
void add_nonce(ObjectInfo& info);

}  // namespace hearth
