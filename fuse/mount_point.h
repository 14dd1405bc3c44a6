// The mount point in the machine's tree: checks before mounting, mount and unmount, the kernel's read-ahead.
//
// Threads: any; stateless.
// Fails:   with one sentence that names the path, what is wrong and what to do.
#pragma once

#include "common/fd.h"
#include "fuse/mount.h"

#include <hearth/result.h>

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

// The absolute path of a directory that can be mounted on. Removes a mount whose daemon died ("Transport
// endpoint is not connected") and logs that.
Result<std::string> prepare_mount_point(const MountOptions& options);

// A mount that lies in, or hides, a local directory that is itself attached would wait for itself. Stores
// that are not directories of this machine are no danger.
Status check_not_over_a_store(const std::string& mountpoint, const std::vector<std::string>& store_uris);

// Mounts, with mount(2) when root and fusermount3 otherwise; returns the device that requests come from.
Result<UniqueFd> mount_fuse(const std::string& mountpoint, const MountOptions& options);

// "0:57" of the topmost mount at this path, "" when nothing is mounted there. Does not ask the file system.
std::string mounted_device(const std::string& mountpoint);

enum class UnmountMode : std::uint8_t { only_if_idle, detach };
// Fails with `busy` when somebody uses it; `not_found` when it is not mounted (any more).
Status unmount_fuse(const std::string& mountpoint, UnmountMode mode);

// Lets the kernel read ahead more than its default of 128 KiB; needs root and sysfs, otherwise it logs and goes on.
void raise_readahead(const std::string& mountpoint, std::uint32_t readahead_bytes);

}  // namespace hearth
