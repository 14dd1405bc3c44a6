// The kernel's requests about locks, for a mount whose locks hold in the cluster.
#pragma once

#include "fuse/lowlevel.h"

namespace hearth {

void add_lock_operations(fuse_lowlevel_ops& table);

}  // namespace hearth
