#include "tiering/disk/disk_name.h"

#include <algorithm>
#include <limits>

namespace hearth::disk {
namespace {

bool allowed(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool is_component(std::string_view text) {
  return !text.empty() && text.size() <= max_component_bytes && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), allowed);
}

}  // namespace

Status check_name(std::string_view name) {
  const std::size_t slash = name.find('/');
  const bool good = slash == std::string_view::npos
                        ? is_component(name)
                        : is_component(name.substr(0, slash)) && is_component(name.substr(slash + 1));
  if (good) return ok();
  return Error(Code::invalid_argument, "'" + std::string(name.substr(0, max_component_bytes)) +
                                           "' is no name of a cache file: at most two components of [a-zA-Z0-9._-]");
}

std::string_view directory_of(std::string_view name) {
  const std::size_t slash = name.find('/');
  return slash == std::string_view::npos ? std::string_view() : name.substr(0, slash);
}

Status check_range(DiskCaching caching, std::uint64_t offset, const void* memory, std::uint64_t length_bytes) {
  constexpr auto end_of_files = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (offset > end_of_files || length_bytes > end_of_files - offset) {
    return Error(Code::invalid_argument, "offset " + std::to_string(offset) + " is past the end of any file");
  }
  const std::uint64_t bits = offset | length_bytes | reinterpret_cast<std::uintptr_t>(memory);
  if (caching == DiskCaching::buffered || bits % disk_alignment_bytes == 0) return ok();
  return Error(Code::invalid_argument,
               "direct I/O of " + std::to_string(length_bytes) + " bytes at " + std::to_string(offset) +
                   ": offset, length and memory must be multiples of " + std::to_string(disk_alignment_bytes));
}

Error short_read(std::string_view name, std::uint64_t offset, std::uint64_t length_bytes) {
  return Error(Code::corrupt, "cache file '" + std::string(name) + "' ends before " + std::to_string(length_bytes) +
                                  " bytes at " + std::to_string(offset) + ": it was cut short");
}

}  // namespace hearth::disk
