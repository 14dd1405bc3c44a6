// Logging: an event and its fields, once per decision, as text, JSON or journald fields.
//
//   log_info("worker_registered", {{"worker", id}, {"capacity_bytes", capacity}});
//
// error wakes someone, warn needs a look, info tells the life of the process, debug is for us.
// Thread safe. Never blocks a data thread: the queue drops the oldest record and counts it.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace hearth {

enum class LogLevel : std::uint8_t { debug, info, warn, error, off };
enum class LogFormat : std::uint8_t { text, json, journal };

struct LogField {
  LogField(std::string_view key, std::string_view value) : key(key), value(value), quoted(true) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, const std::string& value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, std::integral auto number) : key(key), value(std::to_string(number)), quoted(false) {}
  LogField(std::string_view key, double number) : key(key), value(std::to_string(number)), quoted(false) {}

  std::string_view key;  // snake_case with its unit
  std::string value;
  bool quoted;           // a string, as JSON sees it
};

struct LogOptions {
  LogLevel level = LogLevel::info;
  LogFormat format = LogFormat::text;
  std::string file;  // "" = standard error
};

// Once per process, after any fork; before it, records go to standard error as text.
void start_logging(const LogOptions& options);
void stop_logging();  // flushes
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
// Records that the full queue dropped since the process started.
std::uint64_t log_dropped_records();

void log_event(LogLevel level, std::string_view event, std::initializer_list<LogField> fields);
inline void log_debug(std::string_view event, std::initializer_list<LogField> fields = {}) { log_event(LogLevel::debug, event, fields); }
inline void log_info(std::string_view event, std::initializer_list<LogField> fields = {}) { log_event(LogLevel::info, event, fields); }
inline void log_warn(std::string_view event, std::initializer_list<LogField> fields = {}) { log_event(LogLevel::warn, event, fields); }
inline void log_error(std::string_view event, std::initializer_list<LogField> fields = {}) { log_event(LogLevel::error, event, fields); }

}  // namespace hearth
