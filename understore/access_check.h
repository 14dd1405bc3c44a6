// Proves access to an under-store step by step: options, resolve, connect, tls, credentials, list, read.
//
// Threads: one call at a time on the caller's executor.
// Never:   retries (the first failure is the answer), writes, or shows a secret.
#pragma once

#include "understore/store_factory.h"

#include <string>
#include <vector>

namespace hearth {

struct AccessStep {
  std::string name;
  Status outcome;
  std::string detail;  // what was found: an address, where credentials come from, the file that was read
  Duration took{};
};

// The steps up to and with the first that failed; all good when the last one is.
Task<std::vector<AccessStep>> check_store_access(std::string uri, StoreOptions options, StoreContext context, Deadline deadline);

// A store without its guard (retries, circuit breaker). Defined with the schemes, in store_factory.cc.
Result<std::shared_ptr<UnderStore>> open_bare_store(std::string_view uri, StoreOptions options, const StoreContext& context);

}  // namespace hearth
