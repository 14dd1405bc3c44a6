#include "master/default_stores.h"

#include "understore/store_factory.h"

namespace hearth::master {

StoreOpener default_store_opener(BlockingPool& pool, Clock& clock) {
  return [&pool, &clock](const std::string& uri) { return open_under_store(uri, StoreContext{pool, clock}); };
}

}  // namespace hearth::master
