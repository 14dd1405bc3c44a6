#include "understore/hdfs/url_text.h"

namespace hearth::hdfs {
namespace {

constexpr std::string_view hex_digits = "0123456789ABCDEF";
constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";

std::string encode(std::string_view text, std::string_view also_kept) {
  std::string encoded;
  for (const char c : text) {
    if (unreserved.find(c) != std::string_view::npos || also_kept.find(c) != std::string_view::npos) {
      encoded.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    encoded += {'%', hex_digits[byte / 16], hex_digits[byte % 16]};
  }
  return encoded;
}

std::optional<unsigned> hex_value(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  const char lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return static_cast<unsigned>(lower - 'a' + 10);
  return std::nullopt;
}

// The length of the sequence that a first byte opens, and its smallest code point (shorter spellings are not UTF-8).
struct Sequence {
  std::size_t length = 0;
  char32_t smallest = 0;
  char32_t bits = 0;
};

Sequence sequence_of(unsigned char first) {
  if (first < 0x80) return {1, 0, first};
  if ((first & 0xe0) == 0xc0) return {2, 0x80, static_cast<char32_t>(first & 0x1f)};
  if ((first & 0xf0) == 0xe0) return {3, 0x800, static_cast<char32_t>(first & 0x0f)};
  if ((first & 0xf8) == 0xf0) return {4, 0x10000, static_cast<char32_t>(first & 0x07)};
  return {};
}

}  // namespace

std::string encode_path(std::string_view path) { return encode(path, "/"); }
std::string encode_value(std::string_view value) { return encode(value, ""); }

std::optional<std::string> decode(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    const auto high = i + 1 < text.size() ? hex_value(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? hex_value(text[i + 2]) : std::nullopt;
    if (!high || !low || (*high == 0 && *low == 0)) return std::nullopt;
    decoded.push_back(static_cast<char>(*high * 16 + *low));
    i += 2;
  }
  return decoded;
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    Sequence sequence = sequence_of(static_cast<unsigned char>(text[i]));
    if (sequence.length == 0 || i + sequence.length > text.size()) return false;
    for (std::size_t k = 1; k < sequence.length; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xc0) != 0x80) return false;
      sequence.bits = (sequence.bits << 6) | (byte & 0x3f);
    }
    const bool surrogate = sequence.bits >= 0xd800 && sequence.bits < 0xe000;
    if (sequence.bits < sequence.smallest || sequence.bits > 0x10ffff || surrogate) return false;
    i += sequence.length;
  }
  return true;
}

}  // namespace hearth::hdfs
