// What a result of libcurl means to us.
#pragma once

#include "common/http/transfer.h"

#include <optional>
#include <string>

namespace hearth {

// Nothing for CURLE_OK. `detail` is libcurl's own sentence, "" when it has none.
std::optional<Error> error_of_curl(int result, const Transfer& transfer, const std::string& detail);

}  // namespace hearth
