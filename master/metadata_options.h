// How a MetadataService asks under-stores, and what it keeps.
#pragma once

#include "common/clock.h"

#include <cstddef>
#include <cstdint>

namespace hearth::master {

struct MetadataOptions {
  Duration default_metadata_ttl = std::chrono::seconds(1);
  Duration store_deadline = std::chrono::seconds(10);  // of one question to an under-store
  Duration stale_after = std::chrono::seconds(2);      // when older metadata may be served, a reader waits this long for newer
  Duration retry_store_every = std::chrono::seconds(1);
  Duration sweep_stores_every = std::chrono::hours(1);  // StoreUpkeep::sweep of each store in use
  std::size_t store_calls_at_once = 4;  // of one under-store; the store pool needs more threads than that
  std::size_t load_batch = 1000;   // entries asked of the store at a time
  std::size_t turn_rows = 256;     // rows written before others get their turn
  std::size_t negative_entries = 65536;
  std::uint64_t max_inodes = 200'000'000;  // beyond, metadata of files not asked for lately is dropped
};

enum class Freshness : std::uint8_t { cached, revalidate };
enum class Listening : std::uint8_t { off, on };

}  // namespace hearth::master
