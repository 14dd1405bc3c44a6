// One log record as bytes: text, JSON, or journald fields. Whatever a value holds, a record stays one record.
//
// Threads: pure functions.
#pragma once

#include "common/clock.h"
#include "common/log.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct LogRecord {
  LogLevel level;
  WallTime when;
  std::string_view event;
  std::span<const LogField> fields;
};

// 2026-11-21T10:00:00.123Z INFO event key=value path="with \"odd\" bytes\n"
// Control characters, bytes that are not UTF-8 and Unicode line separators come as \n, \t or \xNN.
std::string format_text(const LogRecord& record);

// {"time":"...","level":"info","event":"...","key":value}; a byte that is not UTF-8 becomes the text \xNN.
std::string format_json(const LogRecord& record);

// MESSAGE, PRIORITY, HEARTH_EVENT and one HEARTH_<KEY> per field, for sd_journal_sendv: "NAME=value" each.
std::vector<std::string> format_journal(const LogRecord& record);

// Several strings through a queue of strings, and back.
std::string pack_strings(std::span<const std::string> strings);
std::vector<std::string_view> unpack_strings(std::string_view packed);

}  // namespace hearth
