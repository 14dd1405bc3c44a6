// policy whatif and policy record: what the workers know of the reads they serve.
#include "cli/commands/policy.h"
#include "common/fd.h"
#include "common/units.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

namespace hearth::cli {
namespace {

std::string one_decimal(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string share(double ratio) { return one_decimal(ratio * 100) + "%"; }

void write_answers(JsonWriter& json, const std::vector<WorkerWhatIf>& answers) {
  json.begin_array("workers");
  for (const WorkerWhatIf& answer : answers) {
    json.begin_object();
    json.id("worker_id", answer.worker_id);
    json.number("requests_per_second", answer.requests_per_second);
    json.number("bytes_per_second", answer.bytes_per_second);
    json.number("sampling_rate", answer.sampling_rate);
    json.number("samples", std::uint64_t{answer.samples});
    json.begin_array("tiers");
    for (const WhatIfTier& tier : answer.tiers) {
      json.begin_object();
      json.text("name", tier.name);
      json.number("capacity_bytes", tier.capacity_bytes);
      json.number("step_bytes", tier.step_bytes);
      json.number("hit_ratio", tier.hit_ratio);
      json.number("hit_ratio_after", tier.hit_ratio_after);
      json.number("saved_requests_per_second", tier.saved_requests_per_second);
      json.number("saved_bytes_per_second", tier.saved_bytes_per_second);
      json.number("raised_requests_per_second", tier.raised_requests_per_second);
      json.end();
    }
    json.end();
    json.begin_array("curve");
    for (const WhatIfPoint& point : answer.curve) {
      json.begin_object();
      json.number("capacity_bytes", point.capacity_bytes);
      json.number("hit_ratio", point.hit_ratio);
      json.number("byte_hit_ratio", point.byte_hit_ratio);
      json.end();
    }
    json.end();
    json.end();
  }
  json.end();
}

void print_answer(Output& out, const WorkerWhatIf& answer) {
  out.line("worker " + hex_id(answer.worker_id) + ": " + one_decimal(answer.requests_per_second) + " page reads/s, " +
           human_size(static_cast<std::uint64_t>(answer.bytes_per_second)) + "/s");
  if (answer.samples == 0) {
    out.line("  no reads seen yet (mapped and kernel-cached reads do not pass the worker)");
    return;
  }
  TextTable tiers({"  TIER", "CAPACITY", "HITS", "ONE MORE", "HITS THEN", "SAVES", "", "RAISES"}, "lrrrrrrr");
  for (const WhatIfTier& tier : answer.tiers) {
    tiers.add({"  " + tier.name, human_size(tier.capacity_bytes), share(tier.hit_ratio), human_size(tier.step_bytes),
               share(tier.hit_ratio_after), one_decimal(tier.saved_requests_per_second) + " fetches/s",
               human_size(static_cast<std::uint64_t>(tier.saved_bytes_per_second)) + "/s",
               one_decimal(tier.raised_requests_per_second) + "/s"});
  }
  tiers.print(out);
  TextTable curve({"  CACHE OF", "HITS", "BY BYTES"}, "lrr");
  for (const WhatIfPoint& point : answer.curve) {
    curve.add({"  " + human_size(point.capacity_bytes), share(point.hit_ratio), share(point.byte_hit_ratio)});
  }
  curve.print(out);
}

Status write_trace(const std::string& path, const std::string& bytes) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  std::size_t done = 0;
  while (file && done < bytes.size()) {
    const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<std::size_t>(count);
  }
  if (file && done == bytes.size()) return ok();
  return Error(code_from_errno(errno), "the trace could not be written to " + printable(path));
}

// Until the time is over, or Ctrl-C.
void wait_for(std::chrono::nanoseconds duration) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  sigset_t before;
  ::pthread_sigmask(SIG_BLOCK, &ends, &before);
  timespec left{};
  left.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  left.tv_nsec = (duration % std::chrono::seconds(1)).count();
  (void)::sigtimedwait(&ends, nullptr, &left);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

Result<Exit> policy_whatif(Context& context) {
  const Invocation& words = context.words();
  TRY(client, context.connect());
  TRY(answers, client.what_if(words.size_bytes("memory-step").value_or(0), words.size_bytes("nvme-step").value_or(0)));
  if (context.out().is_json()) {
    write_answers(context.out().json(), answers);
    return Exit::done;
  }
  for (const WorkerWhatIf& answer : answers) print_answer(context.out(), answer);
  if (answers.empty()) context.out().line("no worker is live");
  return Exit::done;
}

Result<Exit> policy_record(Context& context) {
  const Invocation& words = context.words();
  const std::string file = context.arguments()[1];
  TracePlan plan;
  const std::string paths = words.text("paths");
  if (paths == "plain") plan.paths = TracePlan::Paths::plain;
  if (paths == "hashed") plan.paths = TracePlan::Paths::hashed;
  if (const auto one_in = words.count("one-in")) {
    if (*one_in == 0) return Error(Code::invalid_argument, "--one-in: 0 is no share of the pages; 1 records all, 100 every hundredth");
    plan.sampling_rate = 1.0 / static_cast<double>(*one_in);
  }
  TRY(client, context.connect());
  CHECK_OK(client.start_trace(plan));
  const auto duration = words.duration("for").value_or(std::chrono::minutes(1));
  context.out().remark("recording for " + human_duration(std::chrono::duration_cast<std::chrono::milliseconds>(duration)) + "; Ctrl-C ends it sooner");
  wait_for(duration);
  TRY(traces, client.stop_trace());
  Output& out = context.out();
  if (out.is_json()) out.json().begin_array("traces");
  for (const WorkerTrace& trace : traces) {
    // One file for each worker: their clocks and rings are their own.
    const std::string path = traces.size() == 1 ? file : file + "." + hex_id(trace.worker_id);
    CHECK_OK(write_trace(path, trace.bytes));
    if (out.is_json()) {
      out.json().begin_object();
      out.json().id("worker_id", trace.worker_id);
      out.json().bytes("file", path);
      out.json().number("records", trace.records);
      out.json().number("overwritten", trace.overwritten);
      out.json().end();
      continue;
    }
    out.line(printable(path) + ": " + std::to_string(trace.records) + " page reads" +
             (trace.overwritten == 0 ? "" : ", " + std::to_string(trace.overwritten) + " older ones had no room"));
  }
  if (out.is_json()) out.json().end();
  return Exit::done;
}

}  // namespace hearth::cli
