// One door to all under-stores: the scheme of the URI chooses.
//
// Fails: invalid_argument (not a URI), unsupported (unknown scheme; the message lists the known ones).
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "understore/under_store.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// What stores need of their process; both outlive every store.
struct StoreContext {
  BlockingPool& pool;
  Clock& clock;
};

// Shared: the attachment and the requests in flight hold it.
Result<std::shared_ptr<UnderStore>> open_under_store(std::string_view uri, const StoreContext& context);

std::vector<std::string> known_store_schemes();

}  // namespace hearth
