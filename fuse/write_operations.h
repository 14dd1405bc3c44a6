// The kernel's requests that change something, for a mount that takes changes.
#pragma once

#include "fuse/file_system.h"
#include "fuse/lowlevel.h"

#include <hearth/changes.h>

namespace hearth {

// What a handle for appending writes must reach the daemon whole, to be appended whole whoever else appends: the kernel's page
// cache cuts it where a page ends.
bool goes_past_the_page_cache(int open_flags);

// struct fuse_open_out as of protocol 7.40; libfuse 3.14 knows the last word as padding.
struct OpenReply {
  std::uint64_t fh;
  std::uint32_t open_flags;
  std::int32_t backing_id;
};
// How the kernel is to read and write the handle.
OpenReply open_reply(const FileHandle& handle, std::uint64_t fh, int open_flags);

void add_write_operations(fuse_lowlevel_ops& table);

// In whose name a request came, as the kernel says. Groups cost a look into /proc: only changes need them.
Caller caller_of(fuse_req_t req);

}  // namespace hearth
