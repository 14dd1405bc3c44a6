// A Source in memory for tests: a tree of files with versions, shared-memory blocks, faults and counted calls.
//
// The bytes of a file are a function of (version, offset), so that any read can be checked anywhere.
//
// Threads: any; one mutex.
#pragma once

#include "common/fd.h"
#include "fuse/source.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace hearth::testing {

// The byte of version `version` at `offset`.
std::byte oracle_byte(std::uint64_t version, std::uint64_t offset);
std::string oracle_bytes(std::uint64_t version, std::uint64_t offset, std::size_t size);

class FakeSource final : public Source {
 public:
  enum class Resident : std::uint8_t { no, yes };

  FakeSource();
  ~FakeSource() override;

  void add_directory(const std::string& path);
  // Creates or replaces; returns its version. A resident file can be mapped.
  std::uint64_t put_file(const std::string& path, std::uint64_t length_bytes, Resident resident = Resident::no);
  void put_symlink(const std::string& path, const std::string& target);
  void remove(const std::string& path);
  void make_resident(const std::string& path);
  void set_ttl(std::chrono::milliseconds ttl);
  void set_store_uris(std::vector<std::string> uris);
  // Backing files longer than the file, as a block sized in huge pages would be.
  void set_block_slack(std::uint64_t slack_bytes);

  // Reads of cold files block until resume_reads(); blocked_reads() waits until `count` are blocked.
  void block_reads();
  void resume_reads();
  void wait_for_blocked_reads(int count);
  // The next reads, stats and lists of `path` fail.
  void fail(const std::string& path, std::optional<Error> error);

  std::uint64_t loads() const { return loads_; }
  std::uint64_t lists() const { return lists_; }
  std::uint64_t live_mappings() const { return live_mappings_; }

  Result<FileStatus> stat(const std::string& path) override;
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override;
  Result<std::shared_ptr<SourceFile>> open(const std::string& path) override;
  void forget(const std::string&) override {}
  Result<std::string> locations(const std::string& path) override;
  Result<Capacity> capacity(const std::string&) override {
    return Capacity{.total_bytes = 1U << 30, .free_bytes = 3U << 28, .available_bytes = 1U << 29, .files = 7, .free_files = 3};
  }
  Result<std::vector<std::string>> store_uris() override;

 private:
  friend class FakeFile;
  struct Entry {
    FileStatus status;
    std::uint64_t version = 0;
    std::shared_ptr<UniqueFd> memory;  // shared: files opened before a change keep their version
  };
  Result<Entry> find(const std::string& path);
  Entry& place(const std::string& path, EntryType type);
  std::shared_ptr<UniqueFd> make_memory(std::uint64_t version, std::uint64_t length_bytes);

  std::atomic<std::uint64_t> loads_{0}, lists_{0}, live_mappings_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_
  std::map<std::string, Entry> entries_;  // by path, "/" included
  std::map<std::string, Error> faults_;
  std::vector<std::string> store_uris_;
  std::chrono::milliseconds ttl_{0};
  std::uint64_t next_version_ = 1;
  std::uint64_t next_inode_ = 100;
  std::uint64_t slack_bytes_ = 0;
  bool reads_blocked_ = false;
  int blocked_ = 0;
};

}  // namespace hearth::testing
