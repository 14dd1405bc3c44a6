// The kernel's requests that change something, for a mount that takes changes.
#pragma once

#include "fuse/lowlevel.h"

#include <hearth/changes.h>

namespace hearth {

void add_write_operations(fuse_lowlevel_ops& table);

// In whose name a request came, as the kernel says. Groups cost a look into /proc: only changes need them.
Caller caller_of(fuse_req_t req);

}  // namespace hearth
