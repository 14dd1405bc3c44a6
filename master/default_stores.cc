#include "master/default_stores.h"

#include "understore/store_factory.h"

namespace hearth::master {

StoreOpener default_store_opener(BlockingPool& pool, Clock& clock, HttpClient& http) {
  return [&pool, &clock, &http](const std::string& uri, const StoreOptions& options) {
    const StoreContext context{.pool = pool, .clock = clock, .http = &http};
    return open_under_store(uri, options, context);
  };
}

}  // namespace hearth::master
