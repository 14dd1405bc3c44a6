// The handlers of open directories.
#pragma once

#include "fuse/lowlevel.h"

#include <cstddef>

namespace hearth {

void on_opendir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info);
void on_readdir(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info);
void on_readdirplus(fuse_req_t req, fuse_ino_t node, std::size_t size, off_t offset, fuse_file_info* info);
void on_releasedir(fuse_req_t req, fuse_ino_t node, fuse_file_info* info);

}  // namespace hearth
