// The cluster as its administration sees it: attachments, workers, policies, the master.
//
// Threads: plain values.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace hearth {

struct AttachmentOptions {
  std::chrono::milliseconds metadata_ttl{1000};
  std::uint64_t block_size_bytes = 1ULL << 30;
  std::uint32_t page_size_bytes = 1U << 20;
  enum class ServeStale : std::uint8_t { always, until_ttl, never };
  ServeStale serve_stale = ServeStale::always;
  enum class Placement : std::uint8_t { local_first, hash };
  Placement placement = Placement::local_first;
  bool read_only = false;  // nobody changes files there through Hearth
  std::map<std::string, std::string> store_options;  // of the under-store ("endpoint", "region"); never secrets
};

struct AttachmentStatus {
  std::uint32_t id = 0;
  std::string path;
  std::string uri;
  AttachmentOptions options;
};

// One tier of a worker, fastest first.
struct TierStatus {
  std::string name;        // "memory", "nvme0"
  std::string directory;   // "" for memory
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t block_count = 0;
  std::string state;       // healthy, suspect, fenced, absent
  std::string reason;      // why it is not healthy
  std::string engine;      // "io_uring, direct"; "" for memory
  std::string fallback_reason;
  std::uint64_t read_bytes = 0;  // since the start, as the next ones
  std::uint64_t written_bytes = 0;
  std::uint64_t evicted_bytes = 0;
  std::uint64_t corrupt_pages = 0;
  std::uint64_t unverified_pages = 0;  // not read yet since the restart
};

struct WorkerStatus {
  std::uint64_t id = 0;
  std::string host;
  std::string address;
  std::string local_socket;
  std::string state;  // live, draining, lost
  std::uint64_t capacity_bytes = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t leased_bytes = 0;
  std::uint64_t block_count = 0;
  std::uint64_t hit_bytes = 0;
  std::uint64_t miss_bytes = 0;
  std::chrono::milliseconds since_heartbeat{0};
  std::string version;
  std::uint64_t fetched_bytes = 0;  // read from under-stores since the start, loads and readahead included
  std::uint64_t fetches = 0;
  std::uint64_t policy_version = 0;  // that it runs; 0: none, the built-in defaults
  std::string policy_problem;        // why it does not run the current one
  std::vector<TierStatus> tiers;
};

// The cluster's rules for tiers (docs/reference/policy.md), numbered from 1; version 0 with an empty text: none was applied.
struct PolicyVersion {
  struct User {
    std::string name;
    std::uint32_t uid = 0;
  };
  std::uint64_t version = 0;
  std::string text;  // not in lists
  std::vector<User> users{};  // whom the names of owners in the text mean, as the master knows them; not in lists
  std::int64_t applied_at_ns = 0;
  std::string by;
  std::string comment;
  std::uint64_t restored_from = 0;  // a rollback: the version whose text this is
};

struct PolicyChange {
  std::string by;
  std::string comment;
  std::optional<std::uint64_t> expected_version;  // stale when another one is in force
};

struct PolicyApplied {
  PolicyVersion policy;               // without text; version 0 after a dry run
  std::vector<std::string> warnings;  // "3:7: warning: ..."
};

// Room in the under-stores at or below a path, as the master learned it a few seconds ago at most; of a store that does not
// answer, what it last said.
struct SpaceStatus {
  bool known = false;          // some store told its room: the sum over those, each file system counted once
  bool without_limit = false;  // some store has no limit that it tells (S3)
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t available_bytes = 0;  // of the free ones, to users other than root
  std::uint64_t files = 0;
  std::uint64_t free_files = 0;
};

struct MasterStatus {
  std::string version;
  std::uint64_t cluster_id = 0;
  std::int64_t started_at_ns = 0;
  std::uint64_t inode_count = 0;
  std::uint64_t block_location_count = 0;
  std::uint64_t attachment_count = 0;
  std::uint64_t live_workers = 0;
  std::uint64_t lost_workers = 0;
};

}  // namespace hearth
