// Reads of the under-store itself, for when no worker can serve.
//
// Threads: confined to the io thread; blocking calls go to the pool.
// Owns:    one opened store per URI, for the life of the client.
// Fails:   what the store said (stale for another version); unavailable when it can not be opened on this host.
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "understore/under_store.h"

#include <memory>
#include <span>
#include <string>
#include <unordered_map>

namespace hearth::client {

class StoreReader {
 public:
  explicit StoreReader(Clock& clock);
  ~StoreReader();

  Task<> read(std::string uri, std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline);

 private:
  Result<std::shared_ptr<UnderStore>> open(const std::string& uri);

  Clock& clock_;
  std::unique_ptr<BlockingPool> pool_;  // made on first use: most clients never need its threads
  std::unordered_map<std::string, std::shared_ptr<UnderStore>> stores_;  // shared: reads in flight keep theirs
};

}  // namespace hearth::client
