// The disk engine on io_uring: one ring, used by the thread of its executor alone.
#pragma once

#include "tiering/disk/disk.h"
#include "tiering/disk/posix_directory.h"

#include <memory>

namespace hearth::disk {

// "" when this process may use io_uring with what the engine needs, else why not.
std::string probe_uring();

// Fails: unsupported (no io_uring for us, with the reason).
Result<std::unique_ptr<Disk>> make_uring_disk(PosixDirectory& directory, const DiskOptions& options, DiskTraits traits,
                                              Executor executor);

}  // namespace hearth::disk
