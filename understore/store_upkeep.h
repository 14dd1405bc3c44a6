// What some stores need now and then although nobody asked for it. The master does it for all, once an hour.
//
// Threads: any, as UnderStore.
// Fails:   as the store says; nothing is lost, the next time tries again.
#pragma once

#include "common/async.h"
#include "common/clock.h"

#include <cstdint>

namespace hearth {

class StoreUpkeep {
 public:
  virtual ~StoreUpkeep() = default;
  // Takes back what broken-off changes left behind in the store, as far as the attachment's options say; how many there were.
  virtual Task<std::uint64_t> sweep(Deadline deadline) = 0;
};

}  // namespace hearth
