// Records which pages are read, within a fixed memory: the newest accesses of a sample of the pages.
//
// Threads: confined to the data thread; record() allocates only while the ring or the path table still grows.
// Owns:    at most `max_bytes` of records, paths and the index of the paths.
#pragma once

#include "tiering/eviction/sip_hash.h"
#include "tiering/eviction/trace.h"

#include <string>
#include <unordered_map>
#include <vector>

namespace hearth {

struct TraceOptions {
  std::size_t max_bytes = 64U << 20;  // 2 million accesses
  double sampling_rate = 1.0;         // above 0; all accesses of this share of the pages
  TraceInfo::Paths paths = TraceInfo::Paths::none;
  // For Paths::hashed: names, of tenants too, and blocks go through a keyed hash; random, and kept out of the trace.
  eviction::SipKey key{};
  std::chrono::nanoseconds started_at{};  // wall clock, for the header
};

class TraceRecorder {
 public:
  // Fails: invalid_argument for a rate outside (0, 1] or less memory than 64 KiB.
  static Result<TraceRecorder> make(const TraceOptions& options);

  // Cheap for a page that is not in the sample. `record.file` and `record.tenant` are ignored, and `file` when no paths are wanted; a path
  // of "" is none. A file is described as it was at its first access. More tenants than max_trace_tenants are none. Time counts from
  // the start.
  struct File {
    std::string_view path;
    std::uint64_t length_bytes = 0;
    std::uint32_t page_size_bytes = 0;
    std::uint32_t uid = TraceFile::unknown_uid;  // of the owner
    std::string_view tenant{};                   // of the reader; "" for none
  };
  void record(TraceRecord record, const File& file);

  // A whole trace of what is in the ring, oldest first (docs/formats/trace.md).
  std::string encode() const;

  std::size_t records() const { return ring_.size(); }
  std::uint64_t overwritten() const { return overwritten_; }
  std::size_t memory_bytes() const { return max_records_ * sizeof(TraceRecord) + path_bytes_; }

 private:
  explicit TraceRecorder(const TraceOptions& options);
  std::uint32_t file_index(const File& file);
  std::uint8_t tenant_number(std::string_view tenant);

  TraceOptions options_;
  std::uint64_t threshold_;  // sampled: the upper half of the hash is below
  std::size_t max_records_;
  std::size_t max_path_bytes_;
  std::vector<TraceRecord> ring_;
  std::size_t oldest_ = 0;
  std::uint64_t overwritten_ = 0;
  std::vector<TraceFile> files_;
  std::unordered_map<std::string, std::uint32_t> file_indexes_;  // by the path as it is kept
  std::vector<std::string> tenants_;  // few: looked through
  std::size_t path_bytes_ = 0;        // with the tenants
};

// Each name becomes 16 hex digits; '/' and a suffix of up to 8 letters or digits stay, so that rules on depth and
// suffix still match.
std::string hash_path(const eviction::SipKey& key, std::string_view path);

}  // namespace hearth
