// The under-store that is a directory of this machine (also NFS and other mounted file systems).
//
// Stated rules: symlinks are reported, not followed, as the last component; in the middle of a path
// they are followed beneath the root only. FIFOs, sockets and devices are reported as `other` and can
// not be read. Versions and their limits: local_object.h. Names ".hearth-tmp-*" are this store's
// unfinished writes and are left out of listings; changes refuse them.
//
// change() and open_for_writing() touch nothing but what was asked for. A result names a directory as touched only where
// the path leads to it without a symlink in its last component; version_before of a MakeLink is that of the existing file.
// A file that its caller may write but not read is opened for both where this process may, so whoever hands the
// descriptor on checks the right to read; SetAttributes that failed may have set the first of several attributes.
//
// Threads: any. Every system call runs in the pool; a call that the kernel does not return from (a dead
//          NFS server) holds its task until it does, whatever the deadline.
// Owns:    the root's descriptor, at most 256 open files.
// Fails:   see under_store.h; `unavailable` when the root vanished or another file system is in its place: unreachable
//          is never deleted. Another directory of the same mount in its place is the new tree: stat, list and changes
//          look at the place each time, reads when the file is not found as it should be.
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "understore/under_store.h"

#include <memory>
#include <string_view>

namespace hearth {

// `uri` is file:///abs/dir, percent-encoded where needed. `pool` and `clock` outlive the store.
Result<std::shared_ptr<UnderStore>> open_local_store(std::string_view uri, BlockingPool& pool, Clock& clock);

}  // namespace hearth
