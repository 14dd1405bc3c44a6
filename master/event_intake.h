// Where object stores post their event notifications: POST /v1/events/s3 with a shared token.
//
// Threads: start and destroy from the owner's thread; requests come in on the server's own.
// Bounds:  1 MiB of body, 16 connections; nothing of a body is read before the token was right.
// Fails:   invalid_argument (address, a token that is missing or shorter than 16 characters), busy (address taken).
#pragma once

#include "common/metrics_server.h"
#include "master/s3_events.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace hearth::master {

struct EventIntakeOptions {
  std::string listen;      // "host:port"
  // A file with the token, in one line. Senders give it as "Authorization: Bearer TOKEN" or "X-Hearth-Token: TOKEN".
  std::string token_file;
};

// ok: they will be acted on. overloaded: the sender should come back.
using TakeEvents = std::function<Status(std::vector<StoreEvent> events)>;

Result<std::unique_ptr<MetricsServer>> start_event_intake(const EventIntakeOptions& options, TakeEvents take);

}  // namespace hearth::master
