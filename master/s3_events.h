// Event notifications of S3 as JSON: the shape that AWS sends and that MinIO's webhooks have too ("Records").
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
//
// Threads: pure functions.
// Fails:   invalid_argument (no JSON, or another shape). A record that is none of S3's is passed over.
#pragma once

#include "common/clock.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::master {

struct StoreEvent {
  enum class Kind : std::uint8_t { written, removed };
  std::string bucket;
  std::string key;  // raw bytes, decoded
  Kind kind = Kind::written;
  std::optional<WallTime> when;  // in the store
};

Result<std::vector<StoreEvent>> parse_s3_events(std::string_view json);

// The path inside an attachment of `uri` ("s3://bucket/prefix") that the event is about: "" for its root, nothing when
// the event is none of its, or its key is no path.
std::optional<std::string> path_of_event(const StoreEvent& event, std::string_view uri);

}  // namespace hearth::master
