// Sees every page that this worker serves: for "what would more capacity save" all the time, and for a trace when asked.
// Reads from mapped memory (short-circuit) and from the kernel's page cache do not pass here.
//
// Threads: confined to the data thread.
// Owns:    the estimator (2.3 MiB) and, while recording, the ring of the trace.
#pragma once

#include "common/block.h"
#include "common/clock.h"
#include "tiering/eviction/trace_recorder.h"
#include "tiering/eviction/whatif.h"
#include "worker/page_bytes.h"

#include <cstdint>
#include <optional>
#include <string>

namespace hearth::worker {

class ReadObserver {
 public:
  explicit ReadObserver(Clock& clock);

  bool recording() const { return trace_.has_value(); }
  const TraceRecorder* trace() const { return trace_ ? &*trace_ : nullptr; }
  // `path` is only looked at while recording.
  void saw(const BlockRef& block, PageIndex page, Source source, std::uint16_t rule, const std::string& path);

  // busy: one is being recorded already. invalid_argument: as TraceRecorder::make.
  Status start_trace(const TraceOptions& options);
  // Ends the recording. not_found: none was begun.
  Result<std::string> stop_trace();
  WhatIfReport report(std::span<const TierQuestion> tiers) { return whatif_.report(tiers, now()); }

 private:
  std::chrono::nanoseconds now() const { return clock_.now().time_since_epoch(); }

  Clock& clock_;
  WhatIf whatif_;
  std::optional<TraceRecorder> trace_;
  TimePoint trace_began_{};
};

}  // namespace hearth::worker
