#include "master/rocksdb_meta_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <atomic>
#include <filesystem>

namespace hearth::master {

namespace {

constexpr std::array<const char*, family_count> family_names{"default", "inode", "entry", "attachment"};

Error translate(const rocksdb::Status& status, const std::string& directory) {
  const std::string what = "metadata store " + directory + ": " + status.ToString();
  if (status.IsCorruption()) return Error(Code::corrupt, what + "; restore the directory from a copy");
  if (status.IsNoSpace()) return Error(Code::no_space, what + "; free space on that file system and restart the master");
  return Error(Code::io_error, what + "; check the disk and restart the master");
}

class RocksdbMetaStore final : public MetaStore {
 public:
  RocksdbMetaStore(std::string directory, std::unique_ptr<rocksdb::DB> db,
                   std::vector<rocksdb::ColumnFamilyHandle*> families)
      : directory_(std::move(directory)), db_(std::move(db)), families_(std::move(families)) {}

  ~RocksdbMetaStore() override {
    if (!failed_) db_->SyncWAL();
    for (rocksdb::ColumnFamilyHandle* family : families_) db_->DestroyColumnFamilyHandle(family);
    db_->Close();
  }

  Result<std::optional<std::string>> get(Family family, std::string_view key) override {
    CHECK_OK(alive());
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), handle(family), slice(key), &value);
    if (status.IsNotFound()) return std::optional<std::string>();
    if (!status.ok()) return failed(status);
    return std::optional<std::string>(std::move(value));
  }

  Result<std::vector<std::optional<std::string>>> get_many(Family family,
                                                           const std::vector<std::string>& keys) override {
    CHECK_OK(alive());
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    db_->MultiGet(rocksdb::ReadOptions(), handle(family), keys.size(), slices.data(), values.data(), statuses.data());
    std::vector<std::optional<std::string>> out(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (statuses[i].IsNotFound()) continue;
      if (!statuses[i].ok()) return failed(statuses[i]);
      out[i] = values[i].ToString();
    }
    return out;
  }

  Result<std::vector<Row>> scan(Family family, std::string_view prefix, std::string_view after,
                                std::size_t limit) override {
    CHECK_OK(alive());
    rocksdb::ReadOptions options;
    const std::string end = prefix_end(prefix);
    const rocksdb::Slice upper(end);
    if (!end.empty()) options.iterate_upper_bound = &upper;
    const std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(options, handle(family)));
    std::vector<Row> out;
    at->Seek(slice(after < prefix ? prefix : after));
    if (!after.empty() && at->Valid() && at->key() == slice(after)) at->Next();
    for (; at->Valid() && out.size() < limit && at->key().starts_with(slice(prefix)); at->Next()) {
      out.emplace_back(at->key().ToString(), at->value().ToString());
    }
    if (!at->status().ok()) return failed(at->status());
    return out;
  }

  Status write(const WriteBatch& batch) override {
    CHECK_OK(alive());
    rocksdb::WriteBatch changes;
    for (const WriteBatch::Change& change : batch.changes) {
      const rocksdb::Status status = change.value ? changes.Put(handle(change.family), change.key, *change.value)
                                                  : changes.Delete(handle(change.family), change.key);
      if (!status.ok()) return failed(status);
    }
    const rocksdb::Status status = db_->Write(rocksdb::WriteOptions(), &changes);  // to the log, not yet synced
    if (!status.ok()) return failed(status);
    return ok();
  }

  Status sync() override {
    CHECK_OK(alive());
    const rocksdb::Status status = db_->SyncWAL();
    if (!status.ok()) return failed(status);
    return ok();
  }

  std::uint64_t approximate_count(Family family) override {
    std::uint64_t count = 0;
    db_->GetIntProperty(handle(family), rocksdb::DB::Properties::kEstimateNumKeys, &count);
    return count;
  }

 private:
  static rocksdb::Slice slice(std::string_view bytes) { return rocksdb::Slice(bytes.data(), bytes.size()); }
  // The first key that does not begin with `prefix`; "" when there is none.
  static std::string prefix_end(std::string_view prefix) {
    std::string end(prefix);
    while (!end.empty() && static_cast<unsigned char>(end.back()) == 0xff) end.pop_back();
    if (!end.empty()) end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
    return end;
  }
  rocksdb::ColumnFamilyHandle* handle(Family family) const { return families_[static_cast<std::size_t>(family)]; }
  Error failed(const rocksdb::Status& status) {
    failed_ = true;
    return translate(status, directory_);
  }
  Status alive() const {
    if (!failed_) return ok();
    return Error(Code::io_error, "metadata store " + directory_ + " failed earlier; check the disk and restart the master");
  }

  std::string directory_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::atomic<bool> failed_{false};  // also set by sync() on its own thread
};

rocksdb::Options database_options(const RocksdbOptions& options) {
  rocksdb::Options out;
  out.create_if_missing = true;
  out.create_missing_column_families = true;
  out.db_write_buffer_size = options.write_buffer_bytes;
  out.max_background_jobs = 2;
  out.keep_log_file_num = 4;
  out.max_log_file_size = 4U << 20;
  out.max_total_wal_size = 256ULL << 20;
  // A lost log file must be noticed, not read over (RocksDB issue 10573).
  out.track_and_verify_wals_in_manifest = true;
  // What kill -9 or a power cut tore off the end of the log was never acknowledged.
  out.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  out.avoid_flush_during_shutdown = false;
  out.compression = rocksdb::kNoCompression;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.cache_bytes);
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return out;
}

}  // namespace

Result<std::unique_ptr<MetaStore>> open_rocksdb_meta_store(const RocksdbOptions& options) {
  std::error_code error;
  std::filesystem::create_directories(options.directory, error);
  if (error) {
    return Error(code_from_errno(error.value()),
                 "cannot create the master's data directory " + options.directory + ": " + error.message());
  }
  const rocksdb::Options database = database_options(options);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const char* family : family_names) descriptors.emplace_back(family, rocksdb::ColumnFamilyOptions(database));
  std::vector<rocksdb::ColumnFamilyHandle*> families;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status status = rocksdb::DB::Open(database, options.directory, descriptors, &families, &db);
  if (!status.ok()) {
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos) {
      return Error(Code::busy, "another master is using the data directory " + options.directory +
                                   "; stop it first or give this one a directory of its own");
    }
    return translate(status, options.directory);
  }
  return std::unique_ptr<MetaStore>(
      std::make_unique<RocksdbMetaStore>(options.directory, std::unique_ptr<rocksdb::DB>(db), std::move(families)));
}

}  // namespace hearth::master
