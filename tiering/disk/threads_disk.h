// The disk engine where io_uring is forbidden: a bounded pool of threads that block.
#pragma once

#include "tiering/disk/disk.h"
#include "tiering/disk/posix_directory.h"

#include <memory>

namespace hearth::disk {

std::unique_ptr<Disk> make_threads_disk(PosixDirectory directory, const DiskOptions& options, DiskTraits traits,
                                        Executor executor);

}  // namespace hearth::disk
