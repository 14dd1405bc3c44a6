// The table of libfuse: takes each request apart, asks the FileSystem, answers exactly once.
//
// Threads: the loop's. The session's user data is a MountContext (request.h).
#pragma once

#include "fuse/lowlevel.h"
#include "fuse/mount.h"

namespace hearth {

fuse_lowlevel_ops mount_operations(MountOptions::Writing writing);

}  // namespace hearth
