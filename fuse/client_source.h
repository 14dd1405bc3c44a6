// The Source of a real mount: hearth::Client.
#pragma once

#include "fuse/source.h"

#include <memory>

namespace hearth {

// What st_ino shows: a number for each name, or where versions tell objects apart one for each object (hard links share it).
enum class InodeNumbers : std::uint8_t { of_names, of_objects };

std::unique_ptr<Source> make_client_source(Client client, InodeNumbers numbers);

}  // namespace hearth
