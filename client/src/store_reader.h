// Reads of the under-store itself, for when no worker can serve.
//
// Threads: confined to the io thread; blocking calls go to the pool.
// Owns:    one opened store per URI and options, for the life of the client.
// Fails:   what the store said (stale for another version); unavailable when it can not be opened on this host.
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "common/http/http.h"
#include "understore/store_factory.h"

#include <map>
#include <memory>
#include <span>
#include <string>

namespace hearth::client {

// Which store: the same URI with other options is another one.
struct StoreName {
  std::string uri;
  StoreOptions options;
  auto operator<=>(const StoreName&) const = default;
};

class StoreReader {
 public:
  explicit StoreReader(Clock& clock);
  ~StoreReader();

  Task<> read(StoreName store, std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline);

 private:
  Result<std::shared_ptr<UnderStore>> open(const StoreName& name);

  Clock& clock_;
  std::unique_ptr<BlockingPool> pool_;  // made on first use: most clients never need its threads
  std::unique_ptr<HttpClient> http_;
  std::map<StoreName, std::shared_ptr<UnderStore>> stores_;  // shared: reads in flight keep theirs
};

}  // namespace hearth::client
