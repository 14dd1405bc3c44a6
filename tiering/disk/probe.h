// What a disk directory would get from this machine, for `hearth doctor`; opens nothing for longer than the call.
#pragma once

#include "tiering/disk/disk.h"

#include <string>

namespace hearth {

// Fails: not_found, permission_denied, read_only (the directory).
Result<DiskTraits> probe_disk(const std::string& directory);

}  // namespace hearth
