// An under-store that stays calm and fast when the one behind it is slow, throttled or away.
//
// Each call passes a circuit breaker, waits its turn under an adaptive limit, is repeated after failures that may pass
// (within a budget), and a read that straggles gets a second request beside it (within another). What a call answers is
// always the store's own answer, or `unavailable`, `overloaded`, `deadline_exceeded`: never `not_found` of its own.
//
// Threads: any, as UnderStore; a call resumes on the caller's executor, which runs one handler at a time.
// Owns:    the store behind it. Calls in flight hold this one.
// Fails:   as the store; unavailable at once while the store is away; overloaded when too many calls wait.
//
// Hedged reads: the second request reads into a buffer of its own. Whoever is first, the other is cancelled and waited
// for before the call ends, so nothing writes to `into` afterwards; a store that does not end a cancelled call promptly
// gains nothing from hedging. Bytes that `progress` was told of are never written again: a retry goes on behind them.
// Writes and changes are repeated only when the store refused them; an upload that may replace what is there, and a change
// that says the same twice (attributes, looking again), after any failure that may pass. Uploads and changes have the time
// of their caller for one attempt: of a large file each request is watched by the store, not the whole.
#pragma once

#include "understore/guard/guard_options.h"
#include "understore/under_store.h"

#include "common/rng.h"

#include <memory>

namespace hearth {

// What tests and `hearth explain` may want to see.
struct GuardState {
  BreakerState breaker = BreakerState::closed;
  std::size_t limit = 0;
  std::size_t in_flight = 0;
  std::size_t waiting = 0;
  std::uint64_t retries = 0;
  std::uint64_t hedges_sent = 0;
  std::uint64_t hedges_won = 0;
};

class GuardedStore : public UnderStore {
 public:
  virtual GuardState guard_state() const = 0;
};

// `clock` outlives the store. `seed` decides the jitter.
std::shared_ptr<GuardedStore> guard_store(std::shared_ptr<UnderStore> store, GuardOptions options, Clock& clock,
                                          std::uint64_t seed);

}  // namespace hearth
