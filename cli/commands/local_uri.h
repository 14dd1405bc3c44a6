// Under-store words of people: a URI, or a directory of this host.
#pragma once

#include <hearth/result.h>

#include <string>
#include <string_view>

namespace hearth::cli {

// "s3://b/p" as it is; "data" as "file:///home/me/data". Fails: not_found, permission_denied.
Result<std::string> uri_of(std::string_view text);

}  // namespace hearth::cli
