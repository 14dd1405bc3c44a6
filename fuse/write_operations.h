// The kernel's requests that change something, for a mount that takes changes.
#pragma once

#include "fuse/lowlevel.h"

#include <hearth/changes.h>

namespace hearth {

// What a handle for appending writes must reach the daemon whole, to be appended whole whoever else appends: the kernel's page
// cache cuts it where a page ends.
bool goes_past_the_page_cache(int open_flags);

void add_write_operations(fuse_lowlevel_ops& table);

// In whose name a request came, as the kernel says. Groups cost a look into /proc: only changes need them.
Caller caller_of(fuse_req_t req);

}  // namespace hearth
