#include "understore/hdfs/file_status.h"

#include <array>
#include <charconv>

namespace hearth::hdfs {
namespace {

constexpr std::string_view prefix = "h1-";

std::string hex(std::uint64_t number) {
  std::array<char, 16> digits{};
  return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr};
}

}  // namespace

std::string to_string(const Version& version) {
  return std::string(prefix) + hex(version.file_id) + "-" + hex(static_cast<std::uint64_t>(version.modified_ms)) + "-" +
         hex(version.length_bytes);
}

std::optional<Version> parse_version(std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  std::array<std::uint64_t, 3> numbers{};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0 && (at == end || *at++ != '-')) return std::nullopt;
    const auto parsed = std::from_chars(at, end, numbers[i], 16);
    if (parsed.ec != std::errc()) return std::nullopt;
    at = parsed.ptr;
  }
  if (at != end) return std::nullopt;
  return Version{.file_id = numbers[0], .modified_ms = static_cast<std::int64_t>(numbers[1]), .length_bytes = numbers[2]};
}

Version version_of(const FileStatus& status) {
  return {.file_id = status.file_id, .modified_ms = status.modified_ms, .length_bytes = status.length_bytes};
}

}  // namespace hearth::hdfs
