#include "cli/output/json.h"

#include <cstdio>

namespace hearth::cli {
namespace {

// Length of the valid UTF-8 sequence at the start of `text`; 0 when there is none (RFC 3629).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (first >= 0xC2 && first <= 0xDF) length = 2;
  else if (first >= 0xE0 && first <= 0xEF) length = 3;
  else if (first >= 0xF0 && first <= 0xF4) length = 4;
  if (length == 0 || text.size() < length) return 0;
  if (first == 0xE0) low = 0xA0;   // overlong
  if (first == 0xED) high = 0x9F;  // surrogates
  if (first == 0xF0) low = 0x90;   // overlong
  if (first == 0xF4) high = 0x8F;  // above U+10FFFF
  if (byte(1) < low || byte(1) > high) return 0;
  for (std::size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return 0;
  }
  return length;
}

void append_ascii(std::string& out, char c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) {
    out += c;
    return;
  }
  char escaped[8];
  std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
  out += escaped;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 1) append_ascii(out, text[0]);
    else if (length == 0) out += "\xEF\xBF\xBD";
    else out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= have ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
  }
  return out;
}

void JsonWriter::raw(std::string_view text) {
  pending_ += text;
  if (pending_.size() < (64U << 10)) return;
  sink_(pending_);
  pending_.clear();
}

void JsonWriter::prefix(std::string_view key) {
  started_ = true;
  if (!levels_.empty()) {
    if (!levels_.back().empty) raw(",");
    levels_.back().empty = false;
  }
  if (key.empty()) return;
  raw(json_quote(key));
  raw(":");
}

void JsonWriter::begin_object(std::string_view key) {
  prefix(key);
  raw("{");
  levels_.push_back({'}', true});
}

void JsonWriter::begin_array(std::string_view key) {
  prefix(key);
  raw("[");
  levels_.push_back({']', true});
}

void JsonWriter::end() {
  raw(std::string_view(&levels_.back().close, 1));
  levels_.pop_back();
  if (!levels_.empty()) return;
  raw("\n");
  sink_(pending_);
  pending_.clear();
}

void JsonWriter::unwind() {
  while (levels_.size() > 1) end();
}

void JsonWriter::text(std::string_view key, std::string_view value) { prefix(key); raw(json_quote(value)); }
void JsonWriter::number(std::string_view key, std::uint64_t value) { prefix(key); raw(std::to_string(value)); }
void JsonWriter::number(std::string_view key, std::int64_t value) { prefix(key); raw(std::to_string(value)); }
void JsonWriter::boolean(std::string_view key, bool value) { prefix(key); raw(value ? "true" : "false"); }
void JsonWriter::null(std::string_view key) { prefix(key); raw("null"); }
void JsonWriter::id(std::string_view key, std::uint64_t value) { text(key, std::to_string(value)); }

void JsonWriter::number(std::string_view key, double value) {
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.6g", value);
  prefix(key);
  raw(digits);
}

void JsonWriter::bytes(std::string_view key, std::string_view value) {
  text(key, value);
  if (!is_utf8(value)) text(std::string(key) + "_base64", base64(value));
}

}  // namespace hearth::cli
