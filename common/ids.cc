#include "common/ids.h"

namespace hearth {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";
constexpr std::size_t hex_length = 32;

void append_hex(std::string& text, std::uint64_t number) {
  for (int shift = 60; shift >= 0; shift -= 4) text += hex_digits[(number >> shift) & 0xF];
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t number = 0;
  for (const char digit : text) {
    const std::size_t value = hex_digits.find(digit);
    if (value == std::string_view::npos) return std::nullopt;
    number = (number << 4) | value;
  }
  return number;
}

}  // namespace

std::string BlockId::to_hex() const {
  std::string text;
  text.reserve(hex_length);
  append_hex(text, high);
  append_hex(text, low);
  return text;
}

std::optional<BlockId> BlockId::from_hex(std::string_view text) {
  if (text.size() != hex_length) return std::nullopt;
  const auto high = parse_hex(text.substr(0, hex_length / 2));
  const auto low = parse_hex(text.substr(hex_length / 2));
  if (!high || !low) return std::nullopt;
  return BlockId{*high, *low};
}

}  // namespace hearth
