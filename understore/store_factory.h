// One door to all under-stores: the scheme of the URI chooses.
//
// Fails: invalid_argument (not a URI; an option that the store does not know or that has another form),
//        unsupported (unknown scheme; the message lists the known ones).
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "understore/under_store.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

class HttpClient;

// Options of one attachment for its store, by name ("endpoint", "region", ...). Never secrets: credentials are named by
// reference (a file, a profile, an environment variable), so that options may be stored, shown and logged.
using StoreOptions = std::map<std::string, std::string>;

// What stores need of their process; all outlive every store.
struct StoreContext {
  BlockingPool& pool;
  Clock& clock;
  HttpClient* http = nullptr;  // stores that speak HTTP fail with `unsupported` without it
};

// Shared: the attachment and the requests in flight hold it.
Result<std::shared_ptr<UnderStore>> open_under_store(std::string_view uri, const StoreOptions& options,
                                                     const StoreContext& context);

// For stores: ok, or invalid_argument that names the first option which is not among `known` and the nearest that is.
Status check_store_option_names(std::string_view uri, const StoreOptions& options,
                                const std::vector<std::string_view>& known);

std::vector<std::string> known_store_schemes();

// What names one store among all, for whatever is remembered of its content (ids of blocks): the URI, and in front of it,
// on a line of its own, the place where options say it is served. The same URI at another endpoint is another store. The
// URI alone where no such option is given. Every process says the same: nothing of its environment counts.
std::string store_identity(std::string_view uri, const StoreOptions& options);

}  // namespace hearth
