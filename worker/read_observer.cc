#include "worker/read_observer.h"

#include <utility>

namespace hearth::worker {

ReadObserver::ReadObserver(Clock& clock)
    : clock_(clock), whatif_(WhatIf::make({}, clock.now().time_since_epoch()).value()) {}

void ReadObserver::saw(const BlockRef& block, PageIndex page, Source source, std::uint16_t rule, const std::string& path) {
  const std::uint64_t fingerprint = BlockIdHash{}(block.id);
  TraceRecord record;
  record.block = fingerprint;
  record.page = static_cast<std::uint32_t>(block.start.value / block.page_size_bytes) + page.value;
  record.bytes = block.page_length_bytes(page);
  whatif_.access(record.key(), record.bytes, now());
  if (!trace_) return;
  record.time = clock_.now() - trace_began_;
  record.rule = rule;
  record.served_by = source == Source::store ? 0 : source == Source::memory ? 1 : 2;
  trace_->record(record, {.path = path, .length_bytes = block.file_length_bytes(), .page_size_bytes = block.page_size_bytes,
                          .uid = block.file.uid, .tenant = block.file.tenant});
}

Status ReadObserver::start_trace(const TraceOptions& options) {
  if (trace_) return Error(Code::busy, "this worker records a trace already; stop that one first");
  TRY(made, TraceRecorder::make(options));
  trace_.emplace(std::move(made));
  trace_began_ = clock_.now();
  return ok();
}

Result<std::string> ReadObserver::stop_trace() {
  if (!trace_) return Error(Code::not_found, "this worker records no trace; start one first");
  std::string encoded = trace_->encode();
  trace_.reset();
  return encoded;
}

}  // namespace hearth::worker
