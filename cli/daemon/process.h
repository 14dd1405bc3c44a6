// What every long-running process of Hearth does first and last: limits, signals, systemd, background.
//
// Threads: SignalLoop::create() comes before any thread is made (they inherit the blocked signals);
//          request_stop() from any thread.
#pragma once

#include "common/fd.h"

#include <hearth/result.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hearth::cli {

inline constexpr std::uint64_t max_open_files = 1U << 20;  // the default of fs.nr_open

// off: no dump is written whatever the kernel's core_pattern says, and memory and environment of the process are closed
// to others of its user (PR_SET_DUMPABLE, RLIMIT_CORE). Programs that it starts are as ever.
enum class CoreDumps : std::uint8_t { off, on };

// umask 077, SIGPIPE ignored, RLIMIT_NOFILE raised to its hard limit, core dumps as told.
void prepare_process(CoreDumps core_dumps);

// SIGTERM and SIGINT (stop), SIGHUP (reload) as values instead of handlers.
class SignalLoop {
 public:
  enum class Event : std::uint8_t { stop, reload };

  static Result<SignalLoop> create();
  Event wait();
  // Makes wait() return stop, as a signal would.
  void request_stop() const;

 private:
  SignalLoop(UniqueFd signals, UniqueFd requests) : signals_(std::move(signals)), requests_(std::move(requests)) {}
  UniqueFd signals_;
  UniqueFd requests_;
};

// What a service tells whoever started it: systemd (NOTIFY_SOCKET) and the parent of run_in_background().
class Readiness {
 public:
  Readiness() = default;
  explicit Readiness(UniqueFd parent) : parent_(std::move(parent)) {}
  void ready(std::string_view status);
  void stopping();
  void failed(const Error& error);

 private:
  UniqueFd parent_;
};

// Forks a daemon of its own session that runs `serve`, its output going to `log_file`, and returns when it
// called ready(). Call it before any thread exists.
// Fails: with what `serve` failed with, or internal when it ended without a word (then: the log file's name).
Status run_in_background(const std::string& log_file, const std::function<int(Readiness&)>& serve);

}  // namespace hearth::cli
