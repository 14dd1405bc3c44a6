#include "tiering/eviction/trace.h"

#include "common/crc32c.h"
#include "tiering/eviction/hashing.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <istream>

namespace hearth {
namespace {

constexpr std::string_view magic = "hearthtr";
constexpr std::size_t oracle_record_bytes = 24;
constexpr std::size_t file_head_bytes = 18;     // of an entry of the table of files
constexpr std::size_t file_head_bytes_v1 = 14;  // without the owner
constexpr std::size_t max_csv_line_bytes = 64U << 10;
constexpr double whole_threshold = 4294967296.0;  // 2^32: every page
// Larger seconds would not fit nanoseconds in 64 bits (292 years).
constexpr double max_seconds = 9.2e9;

// Little-endian numbers, whatever the machine.
template <class Number>
Number get(const char* at) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    value |= std::uint64_t{static_cast<std::uint8_t>(at[i])} << (8 * i);
  }
  return static_cast<Number>(value);
}
template <class Number>
void put(char* at, Number number) {
  const auto value = static_cast<std::uint64_t>(number);
  for (std::size_t i = 0; i < sizeof(Number); ++i) at[i] = static_cast<char>(value >> (8 * i));
}

std::uint32_t checksum(std::span<const char> bytes) { return crc32c(std::as_bytes(bytes)); }

bool looks_like_text(std::string_view head) {
  return std::all_of(head.begin(), head.end(), [](char c) { return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c != 0x7F); });
}

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\t')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  return text;
}

// FNV-1a; ids that are words only need to differ.
std::uint64_t hash_word(std::string_view word) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const char c : word) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001B3ULL;
  return hash;
}

}  // namespace

std::uint64_t TraceRecord::key() const { return page == 0 ? block : block ^ eviction::mix(page); }

Result<TraceFormat> parse_trace_format(std::string_view name) {
  if (name == "auto") return TraceFormat::detect;
  if (name == "hearth") return TraceFormat::hearth;
  if (name == "oracle") return TraceFormat::oracle_general;
  if (name == "csv") return TraceFormat::csv;
  return Error(Code::invalid_argument, "trace format \"" + std::string(name) + "\" is not known; use one of auto, hearth, oracle, csv");
}

TraceReader::TraceReader(std::unique_ptr<std::istream> input, std::string name) : input_(std::move(input)), name_(std::move(name)) {}
TraceReader::TraceReader(TraceReader&&) noexcept = default;
TraceReader::~TraceReader() = default;

Result<TraceReader> TraceReader::open(const std::string& file, TraceFormat format) {
  auto input = std::make_unique<std::ifstream>(file, std::ios::binary);
  if (!*input) return Error(Code::not_found, "trace " + file + " can not be opened: " + std::strerror(errno));
  return read(std::move(input), file, format);
}

Result<TraceReader> TraceReader::read(std::unique_ptr<std::istream> input, std::string name, TraceFormat format) {
  TraceReader reader(std::move(input), std::move(name));
  if (format == TraceFormat::detect) {
    char head[256];
    reader.input_->read(head, sizeof head);
    const std::string_view seen(head, static_cast<std::size_t>(reader.input_->gcount()));
    reader.input_->clear();
    reader.input_->seekg(0);
    if (seen.starts_with(magic)) {
      format = TraceFormat::hearth;
    } else {
      format = looks_like_text(seen) ? TraceFormat::csv : TraceFormat::oracle_general;
    }
  }
  reader.info_.format = format;
  if (format == TraceFormat::hearth) CHECK_OK(reader.begin_hearth());
  return reader;
}

Error TraceReader::corrupt(const std::string& why) const {
  return Error(Code::corrupt, "trace " + name_ + ": " + why);
}

Result<std::optional<TraceRecord>> TraceReader::next() {
  switch (info_.format) {
    case TraceFormat::hearth: return next_hearth();
    case TraceFormat::csv: return next_csv();
    default: return next_oracle();
  }
}

const TraceFile* TraceReader::file_of(const TraceRecord& record) const {
  return record.file < files_.size() ? &files_[record.file] : nullptr;
}

std::string_view TraceReader::tenant_of(const TraceRecord& record) const {
  return record.tenant == 0 || record.tenant > tenants_.size() ? std::string_view() : tenants_[record.tenant - 1];
}

// Whether there was one more record; a piece of one is an error.
Result<bool> TraceReader::fill(std::span<char> record) {
  input_->read(record.data(), static_cast<std::streamsize>(record.size()));
  const auto got = static_cast<std::size_t>(input_->gcount());
  if (got == 0 && !input_->bad()) return false;
  if (input_->bad()) return Error(Code::io_error, "trace " + name_ + " can not be read after record " + std::to_string(position_));
  if (got < record.size()) {
    return corrupt("ends inside record " + std::to_string(position_) + " (" + std::to_string(got) + " of " +
                   std::to_string(record.size()) + " bytes)");
  }
  return true;
}

Result<std::optional<TraceRecord>> TraceReader::next_oracle() {
  std::array<char, oracle_record_bytes> bytes;
  TRY(there, fill(bytes));
  if (!there) return std::optional<TraceRecord>();
  ++position_;
  TraceRecord record{.time = std::chrono::seconds(get<std::uint32_t>(bytes.data())),
                     .block = get<std::uint64_t>(bytes.data() + 4),
                     .bytes = get<std::uint32_t>(bytes.data() + 12)};
  return std::optional(record);
}

Result<std::optional<TraceRecord>> TraceReader::next_csv() {
  std::string line;
  while (std::getline(*input_, line)) {
    ++position_;
    const auto wrong = [&](const std::string& why) {
      return corrupt("line " + std::to_string(position_) + ": " + why + "; expected time,id,size");
    };
    if (line.size() > max_csv_line_bytes) return wrong("more than 64 KiB");
    const std::string_view text = trim(line);
    if (text.empty() || text.front() == '#') continue;
    const std::size_t first = text.find(',');
    const std::size_t second = first == std::string_view::npos ? first : text.find(',', first + 1);
    if (second == std::string_view::npos) return wrong("fewer than three columns");
    const std::string_view time = trim(text.substr(0, first));
    const std::string_view id = trim(text.substr(first + 1, second - first - 1));
    const std::string_view size = trim(text.substr(second + 1));
    if (position_ == 1 && time == "time") continue;
    TraceRecord record;
    double seconds = 0;
    if (!parse_number(time, seconds) || !(seconds >= 0 && seconds <= max_seconds)) return wrong("\"" + std::string(time) + "\" is no time in seconds");
    if (!parse_number(size, record.bytes)) return wrong("\"" + std::string(size) + "\" is no size in bytes below 4 GiB");
    if (id.empty()) return wrong("the id is empty");
    record.time = std::chrono::nanoseconds(std::llround(seconds * 1e9));
    if (!parse_number(id, record.block)) record.block = hash_word(id);
    return std::optional(record);
  }
  if (input_->bad()) return Error(Code::io_error, "trace " + name_ + " can not be read after line " + std::to_string(position_));
  return std::optional<TraceRecord>();
}

// ---- Hearth's own: docs/formats/trace.md ---------------------------------------------------

Status TraceReader::begin_hearth() {
  std::array<char, trace_header_bytes> header;
  input_->read(header.data(), header.size());
  if (static_cast<std::size_t>(input_->gcount()) < header.size() || std::string_view(header.data(), magic.size()) != magic) {
    return corrupt("does not begin with the header of a Hearth trace");
  }
  version_ = get<std::uint32_t>(&header[8]);
  if (version_ < oldest_trace_version || version_ > trace_version) {
    return Error(Code::version_mismatch, "trace " + name_ + " has version " + std::to_string(version_) + "; this program reads versions " +
                                             std::to_string(oldest_trace_version) + " to " + std::to_string(trace_version));
  }
  if (checksum(std::span(header).first(60)) != get<std::uint32_t>(&header[60])) return corrupt("its header does not match its checksum");
  const auto threshold = get<std::uint64_t>(&header[24]);
  const auto paths = get<std::uint32_t>(&header[12]);
  if (threshold == 0 || threshold > (1ULL << 32)) return corrupt("its sampling threshold is outside 1..2^32");
  if (paths > static_cast<std::uint32_t>(TraceInfo::Paths::hashed)) return corrupt("its kind of paths is unknown");
  info_.paths = static_cast<TraceInfo::Paths>(paths);
  info_.started_at = std::chrono::nanoseconds(get<std::int64_t>(&header[16]));
  info_.sampling_rate = static_cast<double>(threshold) / whole_threshold;
  left_ = get<std::uint64_t>(&header[32]);
  info_.overwritten = get<std::uint64_t>(&header[40]);
  return read_files(get<std::uint32_t>(&header[48]), get<std::uint64_t>(&header[52]));
}

Status TraceReader::read_files(std::uint64_t count, std::uint64_t bytes) {
  const bool has_owners = version_ > 1;
  std::array<char, file_head_bytes> room{};
  const std::span<char> head = std::span(room).first(has_owners ? file_head_bytes : file_head_bytes_v1);
  if (bytes > max_trace_files_bytes || count > bytes / head.size()) {
    return corrupt("its table of files is too large or has no room for its entries");
  }
  std::uint64_t used = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    input_->read(head.data(), static_cast<std::streamsize>(head.size()));
    const std::size_t path_bytes = get<std::uint16_t>(&head[0]);
    used += head.size() + path_bytes;
    if (!*input_ || used > bytes) return corrupt("its table of files ends inside entry " + std::to_string(i));
    TraceFile file{.path = std::string(path_bytes, '\0'),
                   .length_bytes = get<std::uint64_t>(&head[6]),
                   .page_size_bytes = get<std::uint32_t>(&head[2])};
    if (has_owners) file.uid = get<std::uint32_t>(&head[14]);
    input_->read(file.path.data(), static_cast<std::streamsize>(path_bytes));
    if (!*input_) return corrupt("ends inside its table of files");
    files_.push_back(std::move(file));
  }
  if (has_owners) return read_tenants(bytes - used);
  if (used != bytes) return corrupt("its table of files is longer than its entries");
  return ok();
}

Status TraceReader::read_tenants(std::uint64_t bytes) {
  const auto next = [&]() -> std::optional<std::uint8_t> {
    char byte = 0;
    if (bytes == 0 || !input_->get(byte)) return std::nullopt;
    --bytes;
    return static_cast<std::uint8_t>(byte);
  };
  const auto count = next();
  for (std::uint32_t i = 0; count && i < *count; ++i) {
    const auto length = next();
    if (!length || *length > bytes) return corrupt("its table of tenants ends inside entry " + std::to_string(i));
    std::string name(*length, '\0');
    input_->read(name.data(), *length);
    if (!*input_) return corrupt("ends inside its table of tenants");
    bytes -= *length;
    tenants_.push_back(std::move(name));
  }
  if (!count || bytes != 0) return corrupt("its table of tenants has another length than its header says");
  return ok();
}

Result<std::optional<TraceRecord>> TraceReader::next_hearth() {
  if (left_ == 0) {
    if (input_->peek() != std::istream::traits_type::eof()) return corrupt("has bytes after its last record");
    return std::optional<TraceRecord>();
  }
  std::array<char, trace_record_bytes> bytes;
  TRY(there, fill(bytes));
  if (!there) return corrupt("ends " + std::to_string(left_) + " records before the number in its header");
  ++position_;
  --left_;
  const TraceRecord record{.time = std::chrono::nanoseconds(get<std::int64_t>(&bytes[0])),
                           .block = get<std::uint64_t>(&bytes[8]),
                           .page = get<std::uint32_t>(&bytes[16]),
                           .bytes = get<std::uint32_t>(&bytes[20]),
                           .rule = get<std::uint16_t>(&bytes[28]),
                           .served_by = get<std::uint8_t>(&bytes[30]),
                           .tenant = get<std::uint8_t>(&bytes[31]),
                           .file = get<std::uint32_t>(&bytes[24])};
  const bool file_known = record.file == TraceRecord::no_file || record.file < files_.size();
  if (!file_known || record.tenant > tenants_.size() || record.time < std::chrono::nanoseconds::zero()) {
    return corrupt("record " + std::to_string(position_ - 1) + " is damaged");
  }
  return std::optional(record);
}

std::array<char, trace_record_bytes> encode_trace_record(const TraceRecord& record) {
  std::array<char, trace_record_bytes> bytes{};
  put(&bytes[0], record.time.count());
  put(&bytes[8], record.block);
  put(&bytes[16], record.page);
  put(&bytes[20], record.bytes);
  put(&bytes[24], record.file);
  put(&bytes[28], record.rule);
  put(&bytes[30], record.served_by);
  put(&bytes[31], record.tenant);
  return bytes;
}

std::string encode_trace(const TraceInfo& info, std::span<const TraceRecord> records, std::span<const TraceFile> files,
                         std::span<const std::string> tenants) {
  std::string table;
  for (const TraceFile& file : files) {
    std::array<char, file_head_bytes> head;
    const auto kept = static_cast<std::uint16_t>(std::min<std::size_t>(file.path.size(), 0xFFFF));
    put(&head[0], kept);
    put(&head[2], file.page_size_bytes);
    put(&head[6], file.length_bytes);
    put(&head[14], file.uid);
    table.append(head.data(), head.size()).append(file.path, 0, kept);
  }
  assert(tenants.size() <= max_trace_tenants);
  table += static_cast<char>(tenants.size());
  for (const std::string& tenant : tenants) {
    const auto kept = static_cast<std::uint8_t>(std::min<std::size_t>(tenant.size(), 0xFF));
    table += static_cast<char>(kept);
    table.append(tenant, 0, kept);
  }
  std::array<char, trace_header_bytes> header{};
  std::memcpy(header.data(), magic.data(), magic.size());
  put(&header[8], trace_version);
  put(&header[12], static_cast<std::uint32_t>(info.paths));
  put(&header[16], info.started_at.count());
  put(&header[24], std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::llround(info.sampling_rate * whole_threshold))));
  put(&header[32], std::uint64_t{records.size()});
  put(&header[40], info.overwritten);
  put(&header[48], static_cast<std::uint32_t>(files.size()));
  put(&header[52], std::uint64_t{table.size()});
  put(&header[60], checksum(std::span(header).first(60)));
  std::string trace;
  trace.reserve(header.size() + table.size() + records.size() * trace_record_bytes);
  trace.append(header.data(), header.size()).append(table);
  for (const TraceRecord& record : records) {
    const auto bytes = encode_trace_record(record);
    trace.append(bytes.data(), bytes.size());
  }
  return trace;
}

}  // namespace hearth
