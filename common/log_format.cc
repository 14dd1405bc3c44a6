#include "common/log_format.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace hearth {
namespace {

constexpr std::string_view lower_hex = "0123456789abcdef";

std::string_view upper_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "DEBUG";
    case LogLevel::info: return "INFO";
    case LogLevel::warn: return "WARN";
    case LogLevel::error: return "ERROR";
    case LogLevel::off: break;
  }
  return "OFF";
}

std::string_view lower_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warn: return "warn";
    case LogLevel::error: return "error";
    case LogLevel::off: break;
  }
  return "off";
}

// The priorities of syslog(3).
char syslog_priority(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return '7';
    case LogLevel::info: return '6';
    case LogLevel::warn: return '4';
    case LogLevel::error:
    case LogLevel::off: break;
  }
  return '3';
}

std::string timestamp(WallTime when) {
  const auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(since_epoch / 1000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char buffer[96];
  std::snprintf(buffer, sizeof buffer, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(since_epoch % 1000));
  return buffer;
}

// The length of the well-formed UTF-8 sequence at `at`, or 0 (Unicode 15, table 3-7).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(at + i < text.size() ? text[at + i] : 0); };
  const auto continues = [&](std::size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return continues(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    if (first == 0xE0 && byte(1) < 0xA0) return 0;
    if (first == 0xED && byte(1) > 0x9F) return 0;
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if (first == 0xF0 && byte(1) < 0x90) return 0;
    if (first == 0xF4 && byte(1) > 0x8F) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

// Characters that end or reorder a line on a terminal: C1 controls, line and paragraph
// separators, bidirectional overrides.
bool misleads(std::string_view sequence) {
  if (sequence.size() == 2) return sequence[0] == '\xC2' && static_cast<unsigned char>(sequence[1]) < 0xA0;
  if (sequence.size() != 3 || sequence[0] != '\xE2') return false;
  const auto second = static_cast<unsigned char>(sequence[1]);
  const auto third = static_cast<unsigned char>(sequence[2]);
  if (second == 0x80) return third >= 0xA8 && third <= 0xAE;
  return second == 0x81 && third >= 0xA6 && third <= 0xA9;
}

void append_hex_escape(std::string& out, char byte, std::string_view backslash) {
  const auto value = static_cast<unsigned char>(byte);
  out.append(backslash);
  out += 'x';
  out += lower_hex[value >> 4];
  out += lower_hex[value & 0xF];
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (const char c : value) {
    if (c <= ' ' || c == 0x7F || c == '"' || c == '=' || c == '\\') return true;  // char is signed: so is >= 0x80
  }
  return false;
}

void append_text_value(std::string& out, std::string_view value) {
  if (!needs_quotes(value)) {
    out.append(value);
    return;
  }
  out += '"';
  for (std::size_t at = 0; at < value.size();) {
    const char c = value[at];
    const std::size_t length = utf8_length(value, at);
    const std::string_view sequence = value.substr(at, length == 0 ? 1 : length);
    at += sequence.size();
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (length == 0 || (length == 1 && (static_cast<unsigned char>(c) < ' ' || c == 0x7F)) || misleads(sequence)) {
      for (const char byte : sequence) append_hex_escape(out, byte, "\\");
    } else {
      out.append(sequence);
    }
  }
  out += '"';
}

void append_json_string(std::string& out, std::string_view value) {
  out += '"';
  for (std::size_t at = 0; at < value.size();) {
    const char c = value[at];
    const std::size_t length = utf8_length(value, at);
    if (length == 0) {
      append_hex_escape(out, c, "\\\\");
      ++at;
      continue;
    }
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (length == 1 && (static_cast<unsigned char>(c) < ' ' || c == 0x7F)) {
      out += "\\u00";
      out += lower_hex[static_cast<unsigned char>(c) >> 4];
      out += lower_hex[static_cast<unsigned char>(c) & 0xF];
    } else {
      out.append(value.substr(at, length));
    }
    at += length;
  }
  out += '"';
}

// "nan" and "inf" are no JSON numbers.
bool is_json_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string_view::npos;
}

void append_text_fields(std::string& line, const LogRecord& record) {
  append_text_value(line, record.event);
  for (const LogField& field : record.fields) {
    line += ' ';
    line.append(field.key);
    line += '=';
    append_text_value(line, field.value);
  }
}

}  // namespace

std::string format_text(const LogRecord& record) {
  std::string line = timestamp(record.when);
  line += ' ';
  line.append(upper_name(record.level));
  line += ' ';
  append_text_fields(line, record);
  return line;
}

std::string format_json(const LogRecord& record) {
  std::string line = "{\"time\":\"" + timestamp(record.when) + "\",\"level\":\"";
  line.append(lower_name(record.level));
  line += "\",\"event\":";
  append_json_string(line, record.event);
  for (const LogField& field : record.fields) {
    line += ',';
    append_json_string(line, field.key);
    line += ':';
    if (!field.quoted && is_json_number(field.value)) {
      line += field.value;
    } else {
      append_json_string(line, field.value);
    }
  }
  line += '}';
  return line;
}

std::vector<std::string> format_journal(const LogRecord& record) {
  std::string message = "MESSAGE=";
  append_text_fields(message, record);
  std::vector<std::string> entries;
  entries.reserve(record.fields.size() + 3);
  entries.push_back(std::move(message));
  entries.push_back(std::string("PRIORITY=") + syslog_priority(record.level));
  entries.push_back("HEARTH_EVENT=" + std::string(record.event));
  for (const LogField& field : record.fields) {
    std::string entry = "HEARTH_";
    // The journal takes capitals, digits and underscores.
    for (const char c : field.key) {
      const bool lower = c >= 'a' && c <= 'z';
      const bool fits = lower || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      entry += lower ? static_cast<char>(c - 'a' + 'A') : fits ? c : '_';
    }
    entry += '=';
    entry += field.value;
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::string pack_strings(std::span<const std::string> strings) {
  std::string packed;
  for (const std::string& text : strings) {
    const auto size = static_cast<std::uint32_t>(text.size());
    packed.append(reinterpret_cast<const char*>(&size), sizeof size);
    packed.append(text);
  }
  return packed;
}

std::vector<std::string_view> unpack_strings(std::string_view packed) {
  std::vector<std::string_view> strings;
  std::uint32_t size = 0;
  while (packed.size() >= sizeof size) {
    std::memcpy(&size, packed.data(), sizeof size);
    packed.remove_prefix(sizeof size);
    strings.push_back(packed.substr(0, size));
    packed.remove_prefix(strings.back().size());
  }
  return strings;
}

}  // namespace hearth
