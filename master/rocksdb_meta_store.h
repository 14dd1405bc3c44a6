// The MetaStore of a running master: RocksDB, one column family per Family.
//
// Threads: as MetaStore; RocksDB's own compaction and flush threads run beside.
// Owns:    the database directory, locked while open.
// Fails:   busy when another process holds the directory; corrupt and io_error as RocksDB says, and from
//          then on every call fails: after a read error Debian's RocksDB 7.8 must not go on compacting.
#pragma once

#include "master/meta_store.h"

#include <memory>
#include <string>

namespace hearth::master {

struct RocksdbOptions {
  std::string directory;
  std::uint64_t cache_bytes = 256ULL << 20;         // of uncompressed blocks
  std::uint64_t write_buffer_bytes = 64ULL << 20;   // memtables of all families together
};

Result<std::unique_ptr<MetaStore>> open_rocksdb_meta_store(const RocksdbOptions& options);

}  // namespace hearth::master
