#include "tiering/eviction/trace_recorder.h"

#include "tiering/eviction/hashing.h"

#include <algorithm>
#include <cmath>

namespace hearth {
namespace {

constexpr std::size_t min_bytes = 64U << 10;
constexpr std::size_t max_suffix_bytes = 8;
// A path lies twice in memory (table and index) with a node and two string heads; measured with libstdc++.
constexpr std::size_t path_overhead_bytes = 192;

bool is_plain(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string_view suffix_of(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return {};
  const std::string_view suffix = name.substr(dot);
  const bool kept = suffix.size() > 1 && suffix.size() <= max_suffix_bytes + 1 &&
                    std::all_of(suffix.begin() + 1, suffix.end(), is_plain);
  return kept ? suffix : std::string_view();
}

void append_hashed(std::string& text, const eviction::SipKey& key, std::string_view name) {
  const std::string_view suffix = suffix_of(name);
  const std::uint64_t hash = eviction::sip_hash(key, name);
  for (int shift = 60; shift >= 0; shift -= 4) text += "0123456789abcdef"[(hash >> shift) & 15];
  text += suffix;
}

}  // namespace

std::string hash_path(const eviction::SipKey& key, std::string_view path) {
  std::string hashed;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) append_hashed(hashed, key, path.substr(begin, end - begin));
    if (end < path.size()) hashed += '/';
    begin = end + 1;
  }
  return hashed;
}

Result<TraceRecorder> TraceRecorder::make(const TraceOptions& options) {
  if (!(options.sampling_rate > 0 && options.sampling_rate <= 1)) {
    return Error(Code::invalid_argument, "trace: the sampling rate must be above 0 and at most 1");
  }
  if (options.max_bytes < min_bytes) {
    return Error(Code::invalid_argument, "trace: " + std::to_string(options.max_bytes) + " bytes are too few; give at least 64KiB");
  }
  return TraceRecorder(options);
}

TraceRecorder::TraceRecorder(const TraceOptions& options)
    : options_(options),
      threshold_(std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(options.sampling_rate * 0x1p32)))),
      max_path_bytes_(options.paths == TraceInfo::Paths::none ? 0 : options.max_bytes / 4) {
  max_records_ = (options.max_bytes - max_path_bytes_) / sizeof(TraceRecord);
}

void TraceRecorder::record(TraceRecord record, const File& file) {
  if (eviction::mix(record.key()) >> 32 >= threshold_) return;
  if (options_.paths == TraceInfo::Paths::hashed) {
    // A block's id is made from its path: whoever guesses the path could confirm it.
    const char* bytes = reinterpret_cast<const char*>(&record.block);
    record.block = eviction::sip_hash(options_.key, {bytes, sizeof record.block});
  }
  record.file = file.path.empty() ? TraceRecord::no_file : file_index(file);
  record.tenant = file.tenant.empty() ? std::uint8_t{0} : tenant_number(file.tenant);
  if (ring_.size() < max_records_) {
    if (ring_.size() == ring_.capacity()) {
      ring_.reserve(std::min(max_records_, std::max<std::size_t>(1024, ring_.capacity() * 2)));
    }
    ring_.push_back(record);
    return;
  }
  ring_[oldest_] = record;
  oldest_ = (oldest_ + 1) % max_records_;
  ++overwritten_;
}

std::uint32_t TraceRecorder::file_index(const File& file) {
  if (max_path_bytes_ == 0) return TraceRecord::no_file;
  std::string kept = options_.paths == TraceInfo::Paths::hashed ? hash_path(options_.key, file.path) : std::string(file.path);
  const auto found = file_indexes_.find(kept);
  if (found != file_indexes_.end()) return found->second;
  const std::size_t cost = 2 * kept.size() + path_overhead_bytes;
  if (path_bytes_ + cost > max_path_bytes_) return TraceRecord::no_file;
  path_bytes_ += cost;
  const auto index = static_cast<std::uint32_t>(files_.size());
  files_.push_back({.path = kept, .length_bytes = file.length_bytes, .page_size_bytes = file.page_size_bytes, .uid = file.uid});
  file_indexes_.emplace(std::move(kept), index);
  return index;
}

std::uint8_t TraceRecorder::tenant_number(std::string_view tenant) {
  if (max_path_bytes_ == 0) return 0;
  std::string kept = options_.paths == TraceInfo::Paths::hashed ? hash_path(options_.key, tenant) : std::string(tenant);
  const auto found = std::find(tenants_.begin(), tenants_.end(), kept);
  if (found != tenants_.end()) return static_cast<std::uint8_t>(found - tenants_.begin() + 1);
  const std::size_t cost = kept.size() + sizeof kept;
  if (tenants_.size() == max_trace_tenants || path_bytes_ + cost > max_path_bytes_) return 0;
  path_bytes_ += cost;
  tenants_.push_back(std::move(kept));
  return static_cast<std::uint8_t>(tenants_.size());
}

std::string TraceRecorder::encode() const {
  std::vector<TraceRecord> ordered(ring_.begin() + static_cast<std::ptrdiff_t>(oldest_), ring_.end());
  ordered.insert(ordered.end(), ring_.begin(), ring_.begin() + static_cast<std::ptrdiff_t>(oldest_));
  const TraceInfo info{.format = TraceFormat::hearth,
                       .started_at = options_.started_at,
                       .sampling_rate = static_cast<double>(threshold_) / 0x1p32,
                       .paths = options_.paths,
                       .overwritten = overwritten_};
  return encode_trace(info, ordered, files_, tenants_);
}

}  // namespace hearth
