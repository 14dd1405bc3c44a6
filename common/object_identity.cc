#include "common/object_identity.h"

#include <charconv>

namespace hearth {
namespace {

constexpr std::string_view local_prefix = "l1-";

// The part after the `index`-th dash, up to the next; "" when there is none.
std::string_view nth_field(std::string_view version, int index) {
  for (; index > 0; --index) {
    const std::size_t dash = version.find('-');
    if (dash == std::string_view::npos) return {};
    version.remove_prefix(dash + 1);
  }
  return version.substr(0, version.find('-'));
}

std::string_view device_of(std::string_view version) {
  constexpr int after_length = 4;
  const std::string_view part = nth_field(version, after_length);
  return part.starts_with('d') ? part.substr(1) : std::string_view();
}

std::uint64_t hex_number(std::string_view digits) {
  std::uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  return number;
}

}  // namespace

std::string_view object_identity(std::string_view version) {
  return version.starts_with(local_prefix) ? nth_field(version, 1) : std::string_view();
}

std::string object_key(std::string_view version) {
  std::string key(object_identity(version));
  const std::string_view device = device_of(version);
  if (!key.empty() && !device.empty()) key.append("@").append(device);
  return key;
}

std::uint64_t object_number(std::string_view version) {
  constexpr std::uint64_t golden = 0x9E3779B97F4A7C15ULL;  // spreads the few devices over all numbers
  const std::string_view inode = object_identity(version);
  if (inode.empty()) return 0;
  return hex_number(inode) ^ (hex_number(device_of(version)) * golden);
}

std::string_view without_nonce(std::string_view version) { return version.substr(0, version.find("-n")); }

}  // namespace hearth
