// Ends one call before its time: when its caller cancels it, or when the time that its caller gives it is over.
//
// Threads: confined to the io thread, but Cancellation::State, which any thread may use.
// Owns:    a timer and a place among those who listen to the Cancellation, until the call ended.
#pragma once

#include <hearth/client.h>

#include "common/async.h"
#include "common/canceller.h"
#include "common/fork.h"

#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

namespace hearth {

struct Cancellation::State {
  // Runs `hook` once, when it is cancelled: now, if it was. Returns the name of its place.
  std::uint64_t listen(std::function<void()> hook);
  void leave(std::uint64_t place);
  void cancel();

  const ForkGuard fork;
  std::atomic<bool> cancelled{false};
  std::mutex mutex;
  // Guarded by mutex; hooks only post, so that none comes back here.
  std::uint64_t next_place = 1;
  std::map<std::uint64_t, std::function<void()>> hooks;
};

namespace client {

class Ender : public std::enable_shared_from_this<Ender> {
 public:
  Ender(Executor executor, CallOptions options) : executor_(std::move(executor)), options_(std::move(options)) {}

  // The call is on its way; `canceller` ends it.
  void begin(Canceller canceller);
  // It ended; nothing is cancelled any more.
  void end();
  // What a failure of the call means to its caller.
  Error explain(Error seen) const;

 private:
  enum class Reason : std::uint8_t { none, cancelled, time_is_over };
  void cancel(Reason why);

  // Set once
  const Executor executor_;
  const CallOptions options_;
  // Io thread only
  std::optional<Canceller> canceller_;
  std::unique_ptr<asio::steady_timer> timer_;
  std::uint64_t place_ = 0;
  Reason reason_ = Reason::none;
  bool ended_ = false;
};

}  // namespace client
}  // namespace hearth
