#include "common/users.h"

#include <pwd.h>

#include <cerrno>
#include <vector>

namespace hearth {
namespace {

constexpr std::size_t first_buffer_bytes = 4096;
constexpr std::size_t max_buffer_bytes = 1U << 20;  // a record is a line; groups' members are not part of it

// Calls `ask(entry, buffer, found)` with a buffer that is large enough for the record.
template <class Ask>
std::optional<passwd> record(std::vector<char>& buffer, Ask ask) {
  for (buffer.resize(first_buffer_bytes); buffer.size() <= max_buffer_bytes; buffer.resize(2 * buffer.size())) {
    passwd entry{};
    passwd* found = nullptr;
    const int failed = ask(&entry, buffer, &found);
    if (failed == ERANGE) continue;
    return failed != 0 || found == nullptr ? std::nullopt : std::optional<passwd>(entry);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> user_id(const std::string& name) {
  std::vector<char> buffer;
  const auto entry = record(buffer, [&name](passwd* into, std::vector<char>& room, passwd** found) {
    return ::getpwnam_r(name.c_str(), into, room.data(), room.size(), found);
  });
  return entry ? std::optional<std::uint32_t>(entry->pw_uid) : std::nullopt;
}

std::string user_name(std::uint32_t uid) {
  std::vector<char> buffer;
  const auto entry = record(buffer, [uid](passwd* into, std::vector<char>& room, passwd** found) {
    return ::getpwuid_r(uid, into, room.data(), room.size(), found);
  });
  return entry ? std::string(entry->pw_name) : std::string();
}

}  // namespace hearth
