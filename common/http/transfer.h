// One request on its way: what libcurl's callbacks fill, and what ends it.
//
// Threads: made by the caller of send(); from submission to end() confined to the engine's thread. The caller wakes
//          only after end(), and after end() nothing of the caller's memory is touched.
// Owns:    the request and the reply so far; HttpRequest::into and ::body stay the caller's.
#pragma once

#include "common/http/http.h"
#include "common/net/waiter.h"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

class Transfer : public std::enable_shared_from_this<Transfer> {
 public:
  enum class Phase : std::uint8_t { waiting, connecting, sending, answering, receiving, ended };

  // `deadline` on the machine's steady clock.
  Transfer(HttpRequest request, TimePoint deadline, Executor home);

  const HttpRequest& request() const { return request_; }
  // Transfers of one key share connections.
  const std::string& host_key() const { return host_key_; }
  Phase phase() const { return phase_; }

  // Checks the request and computes the key.
  Status check();

  // Engine's thread. `started` when it has its place on a connection; `on_phase` runs whenever due() may have come nearer.
  void started(std::size_t max_header_bytes, std::function<void()> on_phase);
  // The callbacks of libcurl; a short count or false ends the transfer with failure().
  bool on_connected();
  std::size_t on_header(std::string_view line);
  std::size_t on_body(std::string_view bytes);
  std::size_t on_upload(std::span<std::byte> room);
  bool on_rewind(std::uint64_t offset);

  // The next point in time at which expired() may answer, and the failure by then.
  TimePoint due() const;
  std::optional<Error> expired(TimePoint now) const;
  // Why a callback refused, when one did.
  const std::optional<Error>& failure() const { return failure_; }
  int status() const { return head_.status; }

  // Once: settles the outcome and wakes the caller. `error` nothing: the reply is complete.
  void end(std::optional<Error> error);

  // The caller's executor.
  Waiter& ended() { return ended_; }
  Result<HttpReply> take_outcome() { return std::move(outcome_); }
  std::string describe() const;  // "GET http://host/path" without query and credentials

  std::uint64_t sent_bytes() const { return sent_; }
  std::uint64_t received_bytes() const { return received_; }
  Duration first_byte() const { return first_byte_; }

 private:
  void enter(Phase phase);
  bool refuse(Error error);
  bool on_head_complete();
  bool start_head(std::string_view line);
  void add_header(std::string_view line);
  Error too_many_bytes(std::string_view why) const;

  // Set once
  HttpRequest request_;
  const TimePoint deadline_;
  const TimePoint made_;
  Executor home_;
  std::string host_key_;
  std::uint64_t upload_bytes_ = 0;
  std::size_t max_header_bytes_ = 0;
  std::function<void()> on_phase_;
  // Engine's thread only
  Phase phase_ = Phase::waiting;
  TimePoint phase_since_{};
  TimePoint last_byte_{};
  int attempts_ = 0;
  HttpHead head_;
  bool head_complete_ = false;
  bool accepted_ = false;  // a 2xx whose head was taken: what follows is its body
  std::size_t header_bytes_ = 0;
  std::string body_;
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
  std::size_t upload_span_ = 0;
  std::size_t upload_offset_ = 0;
  Duration first_byte_{};
  std::optional<Error> failure_;
  // Engine's thread until the wake, then the caller's
  Waiter ended_;
  Result<HttpReply> outcome_;
};

}  // namespace hearth
