// One attempt at a read, with a second request beside it when it straggles.
//
// Threads: the caller's executor, which runs one handler at a time; `progress` on the store's threads.
// Owns:    both requests. Both have ended when race() ends, so nothing writes to `into` afterwards; the second reads into
//          a buffer of its own, which goes with it.
// Fails:   as the first request, when neither succeeds.
#pragma once

#include "understore/guard/guard_core.h"
#include "understore/under_store.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace hearth {

// A read through all of its attempts.
struct ReadJob {
  std::string path;
  std::string version;
  std::uint64_t offset = 0;
  std::span<std::byte> into;
  std::function<void(std::uint64_t have)> progress;
  // The caller uses bytes [0, have) already: nobody writes them again.
  std::atomic<std::uint64_t> have{0};
};

// The bytes that are missing still, from `store`. Shared: the job and the core outlive both requests.
Task<> hedged_read(std::shared_ptr<UnderStore> store, GuardCore& core, std::shared_ptr<ReadJob> job, Deadline deadline);

}  // namespace hearth
