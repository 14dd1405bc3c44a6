// Whatever is given as a trace: it is read to its end or refused with a reason, in each format, and a Hearth trace that
// was accepted encodes to what reads as the same.
#include "tiering/eviction/trace.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <sstream>
#include <vector>

namespace {

using namespace hearth;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Trace {
  bool whole = false;
  TraceInfo info;
  std::vector<TraceRecord> records;
};

Trace read(const std::string& bytes, TraceFormat format) {
  Trace trace;
  auto reader = TraceReader::read(std::make_unique<std::istringstream>(bytes), "input", format);
  if (!reader) {
    require(!reader.error().message().empty());
    return trace;
  }
  trace.info = reader->info();
  for (;;) {
    const auto record = reader->next();
    if (!record) return trace;
    if (!*record) break;
    const TraceFile* const file = reader->file_of(**record);
    require(file == nullptr || file->path.size() <= bytes.size());
    require(reader->tenant_of(**record).size() <= bytes.size());
    trace.records.push_back(**record);
  }
  trace.whole = true;
  return trace;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const TraceFormat format : {TraceFormat::detect, TraceFormat::oracle_general, TraceFormat::csv}) read(bytes, format);
  Trace trace = read(bytes, TraceFormat::hearth);
  if (!trace.whole) return 0;
  for (TraceRecord& record : trace.records) record.file = TraceRecord::no_file, record.tenant = 0;
  const Trace again = read(encode_trace(trace.info, trace.records, {}), TraceFormat::hearth);
  require(again.whole && again.records == trace.records);
  return 0;
}
