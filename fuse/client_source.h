// The Source of a real mount: hearth::Client.
#pragma once

#include "fuse/source.h"

#include <memory>

namespace hearth {

std::unique_ptr<Source> make_client_source(Client client);

}  // namespace hearth
