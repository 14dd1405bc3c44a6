// policy test: what tiers of these sizes, under this policy, would have done with a trace.
#include "cli/commands/policy.h"
#include "common/units.h"
#include "tiering/eviction/simulate.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <memory>

namespace hearth::cli {
namespace {

// Where the tiers of a policy are in the simulated stack; none where the command line gave it no capacity.
struct Stack {
  std::optional<std::size_t> memory;
  std::optional<std::size_t> nvme;
  std::vector<SimulatedTier> tiers;
};

struct Run {
  std::string name;  // of the eviction classes
  SimulateReport report;
};

struct Replay {
  std::string trace;
  TraceFormat format = TraceFormat::detect;
  std::optional<policy::Policy> policy;
  std::uint64_t memory_bytes = 0;
  std::uint64_t nvme_bytes = 0;
  Prices prices;
  std::vector<Run> runs;
};

std::string_view eviction_name(policy::Eviction eviction) {
  switch (eviction) {
    case policy::Eviction::lru: return "lru";
    case policy::Eviction::w_tinylfu: return "w-tinylfu";
    default: return "s3-fifo";
  }
}

std::string_view admission_name(policy::AdmissionRule admission) {
  switch (admission) {
    case policy::AdmissionRule::never: return "never";
    case policy::AdmissionRule::second_read: return "second-read";
    default: return "always";
  }
}

Stack stack_of(const Replay& replay, std::string_view memory_eviction, std::string_view nvme_eviction) {
  Stack stack;
  if (replay.memory_bytes > 0) {
    stack.memory = stack.tiers.size();
    stack.tiers.push_back({"memory", replay.memory_bytes, std::string(memory_eviction)});
  }
  if (replay.nvme_bytes > 0) {
    stack.nvme = stack.tiers.size();
    stack.tiers.push_back({"nvme", replay.nvme_bytes, std::string(nvme_eviction)});
  }
  return stack;
}

policy::Subject subject_of(const TraceRecord& record, const TraceFile* file, std::string_view tenant) {
  policy::Subject subject{.path = "/", .length_bytes = record.bytes, .uid = TraceFile::unknown_uid, .tenant = tenant};
  subject.range = policy::Subject::Range{0, record.bytes};
  if (file == nullptr) return subject;
  subject.path = file->path;
  subject.length_bytes = file->length_bytes;
  subject.uid = file->uid;
  subject.range->offset_bytes = std::uint64_t{record.page} * file->page_size_bytes;
  return subject;
}

SimulatedDecision simulated(const policy::Decision& decision, const Stack& stack) {
  const policy::Attributes& values = decision.values;
  SimulatedDecision simulated{.rule = decision.first_rule, .admission = admission_name(values.admission)};
  simulated.promote_reads = values.promote_after.reads;
  simulated.promote_within = values.promote_after.within;
  if (values.tier == policy::TierChoice::automatic) return simulated;
  const auto& wanted = values.tier == policy::TierChoice::memory ? stack.memory : stack.nvme;
  if (!wanted) simulated.admission = "never";  // the only tier that it may have is not there
  simulated.highest_tier = simulated.lowest_tier = wanted.value_or(0);
  return simulated;
}

SimulateOptions options_of(const Replay& replay, const Stack& stack) {
  SimulateOptions options{.tiers = stack.tiers, .prices = replay.prices};
  if (!replay.policy) return options;
  options.rules.clear();
  for (const policy::RuleName& rule : replay.policy->rules()) options.rules.push_back(rule.name);
  options.rules.emplace_back("[defaults]");  // what no rule matches: policy::no_rule is past the last one
  options.decide = [policy = *replay.policy, stack](const TraceRecord& record, const TraceFile* file, std::string_view tenant) {
    return simulated(policy.decide(subject_of(record, file, tenant)), stack);
  };
  return options;
}

Status run_once(Replay& replay, std::string_view memory_eviction, std::string_view nvme_eviction) {
  TRY(trace, TraceReader::open(replay.trace, replay.format));
  const Stack stack = stack_of(replay, memory_eviction, nvme_eviction);
  TRY(report, simulate(trace, options_of(replay, stack)));
  std::string name(replay.memory_bytes > 0 ? memory_eviction : nvme_eviction);
  if (replay.memory_bytes > 0 && replay.nvme_bytes > 0 && memory_eviction != nvme_eviction) name += "/" + std::string(nvme_eviction);
  replay.runs.push_back({std::move(name), std::move(report)});
  return ok();
}

// The classes of the command line for all tiers, else those of the policy, else all there are.
Status run_all(Replay& replay, const std::string& evictions) {
  if (evictions.empty() && replay.policy) {
    return run_once(replay, eviction_name(replay.policy->memory().eviction), eviction_name(replay.policy->nvme().eviction));
  }
  if (evictions.empty()) {
    for (const std::string_view name : eviction_policy_names) CHECK_OK(run_once(replay, name, name));
    return ok();
  }
  for (std::size_t begin = 0; begin <= evictions.size();) {
    const std::size_t end = std::min(evictions.find(',', begin), evictions.size());
    const std::string name = evictions.substr(begin, end - begin);
    CHECK_OK(run_once(replay, name, name));
    begin = end + 1;
  }
  return ok();
}

Result<double> price(const Context& context, std::string_view option) {
  const std::string text = context.words().text(option);
  double amount = 0;
  if (text.empty()) return amount;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  if (error != std::errc() || end != text.data() + text.size() || !(amount >= 0 && amount < 1e12)) {
    return Error(Code::invalid_argument, "--" + std::string(option) + ": '" + printable(text) + "' is no price; give a number such as 0.0004");
  }
  return amount;
}

// ---- what is shown -------------------------------------------------------------------------

std::string fixed(double number, int digits, const char* unit = "") {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f%s", digits, number, unit);
  return text.data();
}
std::string percent(double share) { return fixed(100 * share, 2, " %"); }
// Counts of a sampled trace are estimates; a fraction of a read says nothing.
std::uint64_t whole(double count) { return static_cast<std::uint64_t>(count + 0.5); }
std::string size(double bytes) { return human_size(static_cast<std::uint64_t>(bytes)); }

std::vector<std::string> row(const std::string& name, const SimulatedCounts& counts) {
  std::vector<std::string> cells{name, fixed(counts.reads.requests, 0), size(counts.reads.bytes)};
  for (std::size_t tier = 0; tier < counts.hits.size(); ++tier) cells.push_back(percent(counts.hit_ratio(tier)));
  for (const std::string& cell : {percent(counts.hit_ratio()), percent(counts.byte_hit_ratio()), fixed(counts.store.requests, 0),
                                  size(counts.store.bytes), size(counts.promoted_bytes), size(counts.demoted_bytes)}) {
    cells.push_back(cell);
  }
  return cells;
}

void print(const Replay& replay, Output& out) {
  const bool priced = replay.prices.per_gib > 0 || replay.prices.per_thousand_requests > 0;
  const auto table_of = [&](const std::string& first) {
    std::vector<std::string> header{first, "READS", "SIZE"};
    if (replay.memory_bytes > 0) header.emplace_back("MEMORY");
    if (replay.nvme_bytes > 0) header.emplace_back("NVME");
    for (const char* name : {"HITS", "BYTE HITS", "FETCHES", "FETCHED", "MOVED UP", "MOVED DOWN"}) header.emplace_back(name);
    if (priced) header.emplace_back("COST");
    return TextTable(header, "lrrrrrrrrrrr");
  };
  const auto add = [&](TextTable& table, const std::string& name, const SimulatedCounts& counts) {
    auto cells = row(name, counts);
    if (priced) cells.push_back(fixed(counts.cost, 4));
    table.add(std::move(cells));
  };
  TextTable totals = table_of("EVICTION");
  for (const Run& run : replay.runs) add(totals, run.name, run.report.total);
  totals.print(out);
  if (!replay.policy) return;
  for (const Run& run : replay.runs) {
    out.line("");
    out.line("by rule, with " + run.name + ":");
    TextTable rules = table_of("RULE");
    for (const SimulatedCounts& counts : run.report.rules) add(rules, counts.rule, counts);
    rules.print(out);
  }
}

void write(JsonWriter& json, const SimulatedCounts& counts, const Replay& replay) {
  json.bytes("rule", counts.rule);
  json.number("reads", whole(counts.reads.requests));
  json.number("read_bytes", whole(counts.reads.bytes));
  std::size_t tier = 0;
  const auto hits = [&](const std::string& name) {
    json.number(name + "_hits", whole(counts.hits[tier].requests));
    json.number(name + "_hit_bytes", whole(counts.hits[tier].bytes));
    ++tier;
  };
  if (replay.memory_bytes > 0) hits("memory");
  if (replay.nvme_bytes > 0) hits("nvme");
  json.number("hit_ratio", counts.hit_ratio());
  json.number("byte_hit_ratio", counts.byte_hit_ratio());
  json.number("fetches", whole(counts.store.requests));
  json.number("fetched_bytes", whole(counts.store.bytes));
  json.number("refused", whole(counts.refused.requests));
  json.number("promoted_bytes", whole(counts.promoted_bytes));
  json.number("demoted_bytes", whole(counts.demoted_bytes));
  json.number("cost", counts.cost);
}

void write(JsonWriter& json, const Replay& replay) {
  json.bytes("trace", replay.trace);
  json.number("memory_bytes", replay.memory_bytes);
  json.number("nvme_bytes", replay.nvme_bytes);
  json.number("duration_seconds", std::chrono::duration<double>(replay.runs.front().report.duration).count());
  json.begin_array("runs");
  for (const Run& run : replay.runs) {
    json.begin_object();
    json.text("eviction", run.name);
    json.begin_object("total");
    write(json, run.report.total, replay);
    json.end();
    json.begin_array("rules");
    for (const SimulatedCounts& counts : run.report.rules) {
      json.begin_object();
      write(json, counts, replay);
      json.end();
    }
    json.end();
    json.end();
  }
  json.end();
}

}  // namespace

Result<Exit> policy_test(Context& context) {
  const Invocation& words = context.words();
  Replay replay{.trace = words.text("trace")};
  if (replay.trace.empty()) return Error(Code::invalid_argument, "policy test needs a trace: --trace=FILE (docs/formats/trace.md)");
  TRY(format, parse_trace_format(words.text("format")));
  TRY(request_price, price(context, "request-price"));
  TRY(transfer_price, price(context, "transfer-price"));
  replay.format = format;
  replay.prices = {.per_thousand_requests = request_price, .per_gib = transfer_price};
  replay.memory_bytes = words.size_bytes("memory").value_or(0);
  replay.nvme_bytes = words.size_bytes("nvme").value_or(0);
  if (words.has("policy")) {
    const std::string path = words.text("policy");
    TRY(text, read_policy_text(path));
    TRY(policy, policy::parse_policy(text, path));
    replay.policy = policy.with_users(users_here(policy));
  }
  CHECK_OK(run_all(replay, words.text("eviction")));
  if (context.out().is_json()) {
    write(context.out().json(), replay);
  } else {
    print(replay, context.out());
  }
  return Exit::done;
}

}  // namespace hearth::cli
