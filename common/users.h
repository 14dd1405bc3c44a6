// Users of this host by name and by number, as its user database has them.
//
// Threads: any. Blocks: the database may be a network service; not on an executor of RPCs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace hearth {

// Nothing where there is no such user, or the database could not be asked.
std::optional<std::uint32_t> user_id(const std::string& name);
// "" where there is none.
std::string user_name(std::uint32_t uid);

}  // namespace hearth
