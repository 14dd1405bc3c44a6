#include "master/s3_events.h"

#include "understore/store_path.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <charconv>
#include <cstdio>
#include <ctime>

namespace hearth::master {
namespace {

namespace json = boost::json;

constexpr std::size_t max_depth = 32;

const json::value* member(const json::value* of, std::string_view name) {
  const json::object* object = of != nullptr ? of->if_object() : nullptr;
  return object != nullptr ? object->if_contains(name) : nullptr;
}

std::optional<std::string> text(const json::value* value) {
  const json::string* string = value != nullptr ? value->if_string() : nullptr;
  if (string == nullptr) return std::nullopt;
  return std::string(string->data(), string->size());
}

// Percent-decoded; in keys of events a '+' is a blank. Nothing for a broken escape.
std::optional<std::string> decoded(std::string_view encoded, char plus) {
  std::string out;
  out.reserve(encoded.size());
  for (std::size_t at = 0; at < encoded.size(); ++at) {
    if (encoded[at] != '%') {
      out += encoded[at] == '+' ? plus : encoded[at];
      continue;
    }
    unsigned value = 0;
    if (at + 2 >= encoded.size()) return std::nullopt;
    const char* const begin = encoded.data() + at + 1;
    const auto [end, error] = std::from_chars(begin, begin + 2, value, 16);
    if (error != std::errc() || end != begin + 2) return std::nullopt;
    out += static_cast<char>(value);
    at += 2;
  }
  return out;
}

// "2026-11-21T14:00:00.123Z", fraction optional.
std::optional<WallTime> time_of(const std::optional<std::string>& iso) {
  std::tm broken{};
  double seconds = 0;
  char zone = 0;
  if (!iso || std::sscanf(iso->c_str(), "%4d-%2d-%2dT%2d:%2d:%lf%c", &broken.tm_year, &broken.tm_mon, &broken.tm_mday,
                          &broken.tm_hour, &broken.tm_min, &seconds, &zone) != 7 || zone != 'Z' || seconds < 0 || seconds >= 61) {
    return std::nullopt;
  }
  broken.tm_year -= 1900;
  broken.tm_mon -= 1;
  const auto whole = std::chrono::seconds(::timegm(&broken));
  return WallTime(whole + std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9)));
}

std::optional<StoreEvent> event_of(const json::value& record) {
  const json::value* const s3 = member(&record, "s3");
  const auto bucket = text(member(member(s3, "bucket"), "name"));
  const auto key = text(member(member(s3, "object"), "key"));
  if (!bucket || !key) return std::nullopt;
  auto raw = decoded(*key, ' ');
  if (!raw) return std::nullopt;
  const std::string name = text(member(&record, "eventName")).value_or("");
  StoreEvent event;
  event.bucket = *bucket;
  event.key = std::move(*raw);
  if (name.find("ObjectRemoved") != std::string::npos || name.find("LifecycleExpiration") != std::string::npos) {
    event.kind = StoreEvent::Kind::removed;
  }
  event.when = time_of(text(member(&record, "eventTime")));
  return event;
}

}  // namespace

Result<std::vector<StoreEvent>> parse_s3_events(std::string_view body) {
  json::parse_options options;
  options.max_depth = max_depth;
  boost::system::error_code error;
  const json::value document = json::parse(json::string_view(body.data(), body.size()), error, {}, options);
  if (error) return Error(Code::invalid_argument, "the event is not JSON: " + error.message());
  const json::value* const records = member(&document, "Records");
  std::vector<StoreEvent> events;
  if (records == nullptr) {
    // What S3 sends when a notification is set up, and MinIO when it looks whether somebody listens.
    const bool test = text(member(&document, "Event")) == "s3:TestEvent" || (document.is_object() && document.get_object().empty());
    if (test) return events;
    return Error(Code::invalid_argument, "the event has no \"Records\"; send S3's own event notifications, unwrapped");
  }
  if (!records->is_array()) return Error(Code::invalid_argument, "\"Records\" of the event is no array");
  for (const json::value& record : records->get_array()) {
    if (auto event = event_of(record)) events.push_back(std::move(*event));
  }
  return events;
}

std::optional<std::string> path_of_event(const StoreEvent& event, std::string_view uri) {
  constexpr std::string_view scheme = "s3://";
  if (!uri.starts_with(scheme)) return std::nullopt;
  uri.remove_prefix(scheme.size());
  while (uri.ends_with('/')) uri.remove_suffix(1);
  const std::size_t slash = uri.find('/');
  if (uri.substr(0, slash) != event.bucket) return std::nullopt;
  std::string_view path = event.key;
  if (slash != std::string_view::npos) {
    const auto prefix = decoded(uri.substr(slash + 1), '+');
    if (!prefix || !path.starts_with(*prefix)) return std::nullopt;
    path.remove_prefix(prefix->size());
    if (!path.empty() && path.front() != '/') return std::nullopt;
    if (!path.empty()) path.remove_prefix(1);
  }
  if (path.ends_with('/')) path.remove_suffix(1);  // the marker of a directory
  if (!check_store_path(path)) return std::nullopt;
  return std::string(path);
}

}  // namespace hearth::master
