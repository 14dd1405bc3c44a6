// Access traces: Hearth's own (docs/formats/trace.md) and the two common public formats, read as one stream.
//
// Threads: a reader is confined to one thread.
// Fails:   not_found, io_error (the file); corrupt with the record or line and the reason (its content);
//          version_mismatch (written by a newer Hearth); invalid_argument (a format that nobody knows).
#pragma once

#include <hearth/result.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

// One page was read. In foreign traces an object is a block with one page.
struct TraceRecord {
  std::chrono::nanoseconds time{};  // since the trace began, or whatever a foreign trace counts from
  std::uint64_t block = 0;          // fingerprint
  std::uint32_t page = 0;   // of the file
  std::uint32_t bytes = 0;  // length of the page: what a miss fetches and what a tier is charged
  std::uint16_t rule = 0;   // of the policy in force when it was recorded
  std::uint8_t served_by = 0;  // 0 the under-store, 1 the first tier, 2 the next ...
  std::uint8_t tenant = 0;     // of the reader, for TraceReader::tenant_of(); 0 for none
  std::uint32_t file = no_file;  // for TraceReader::file_of()

  static constexpr std::uint32_t no_file = 0xFFFFFFFF;
  bool operator==(const TraceRecord&) const = default;
  // Identity of the page.
  std::uint64_t key() const;
};

// What a policy asks of a file; "", 0 and unknown_uid when the trace does not say.
struct TraceFile {
  static constexpr std::uint32_t unknown_uid = 0xFFFFFFFF;  // no user has it
  std::string path;
  std::uint64_t length_bytes = 0;
  std::uint32_t page_size_bytes = 0;
  std::uint32_t uid = unknown_uid;  // of the owner
  bool operator==(const TraceFile&) const = default;
};

enum class TraceFormat : std::uint8_t {
  detect,  // by its first bytes
  hearth,
  oracle_general,  // libCacheSim: 24-byte records, little-endian: u32 seconds, u64 id, u32 size, i64 next access
  csv,             // time,id,size with or without that first line; seconds (a fraction is fine), any id, bytes
};
Result<TraceFormat> parse_trace_format(std::string_view name);  // "auto", "hearth", "oracle", "csv"

// What a Hearth trace says of itself; the others have the defaults.
struct TraceInfo {
  TraceFormat format = TraceFormat::detect;
  std::chrono::nanoseconds started_at{};  // wall clock
  double sampling_rate = 1.0;             // of pages, by their hash
  enum class Paths : std::uint8_t { none, plain, hashed } paths = Paths::none;
  std::uint64_t overwritten = 0;  // older records that the ring had no room for
};

class TraceReader {
 public:
  static Result<TraceReader> open(const std::string& file, TraceFormat format = TraceFormat::detect);
  static Result<TraceReader> read(std::unique_ptr<std::istream> input, std::string name, TraceFormat format);
  TraceReader(TraceReader&&) noexcept;
  ~TraceReader();

  const TraceInfo& info() const { return info_; }
  // Empty after the last record. After an error there is no more to read.
  Result<std::optional<TraceRecord>> next();
  // Null for a record without one. Valid as long as the reader.
  const TraceFile* file_of(const TraceRecord& record) const;
  // Whom it was read for; "" for no tenant, or where the trace does not say. Valid as long as the reader.
  std::string_view tenant_of(const TraceRecord& record) const;

 private:
  TraceReader(std::unique_ptr<std::istream> input, std::string name);
  Status begin_hearth();
  Status read_files(std::uint64_t count, std::uint64_t bytes);
  Status read_tenants(std::uint64_t bytes);
  Result<std::optional<TraceRecord>> next_hearth();
  Result<std::optional<TraceRecord>> next_oracle();
  Result<std::optional<TraceRecord>> next_csv();
  Result<bool> fill(std::span<char> record);
  Error corrupt(const std::string& why) const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  TraceInfo info_;
  std::vector<TraceFile> files_;
  std::vector<std::string> tenants_;  // of number 1 and on
  std::uint32_t version_ = 0;         // of a Hearth trace
  std::uint64_t position_ = 0;  // records or lines read so far
  std::uint64_t left_ = 0;      // records that the header promises still
};

// The bytes of a whole Hearth trace.
inline constexpr std::uint32_t trace_version = 2;
inline constexpr std::uint32_t oldest_trace_version = 1;  // that is read; it knows neither owners nor tenants
inline constexpr std::size_t max_trace_tenants = 255;
inline constexpr std::size_t trace_header_bytes = 64;
inline constexpr std::size_t trace_record_bytes = 32;
inline constexpr std::size_t max_trace_files_bytes = 256U << 20;
std::array<char, trace_record_bytes> encode_trace_record(const TraceRecord& record);
// `tenants` are those of number 1 and on: at most max_trace_tenants, of at most 255 bytes each.
std::string encode_trace(const TraceInfo& info, std::span<const TraceRecord> records, std::span<const TraceFile> files,
                         std::span<const std::string> tenants = {});

}  // namespace hearth
