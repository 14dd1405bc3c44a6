// On what terms one call of hearth/client.h runs.
#pragma once

#include <hearth/version.h>

#include <chrono>
#include <memory>
#include <optional>

namespace hearth {

namespace client {
class Ender;
}

// Ends calls before their time. Copies are one; calls that were given it, and later ones, fail with `cancelled`.
// Threads: any.
class HEARTH_API Cancellation {
 public:
  Cancellation();
  void cancel() const;  // for good; does not wait for the calls
  bool is_cancelled() const;

 private:
  friend class client::Ender;
  struct State;
  std::shared_ptr<State> state_;  // shared: the copies and the calls on their way
};

// On what terms one call runs.
struct CallOptions {
  std::chrono::milliseconds deadline{0};  // deadline_exceeded after this; 0, or more than the client's own: that one counts
  std::optional<Cancellation> cancellation;
};

}  // namespace hearth
