// report, workers, locate, explain.
#include "cli/commands/commands.h"
#include "cli/commands/policy.h"
#include "common/units.h"

#include <algorithm>
#include <cstdio>

namespace hearth::cli {
namespace {

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  char text[16];
  std::snprintf(text, sizeof text, "%.1f%%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}

// The share of what workers sent that they did not have to fetch for it. Loads and readahead are fetched too.
std::string saved(std::uint64_t fetched, std::uint64_t served) { return percent(served - std::min(fetched, served), served); }

void write_tier(JsonWriter& json, const TierStatus& tier) {
  json.text("name", tier.name);
  json.bytes("directory", tier.directory);
  json.text("state", tier.state);
  json.text("reason", tier.reason);
  json.text("engine", tier.engine);
  json.text("fallback_reason", tier.fallback_reason);
  json.number("capacity_bytes", tier.capacity_bytes);
  json.number("used_bytes", tier.used_bytes);
  json.number("block_count", tier.block_count);
  json.number("read_bytes", tier.read_bytes);
  json.number("written_bytes", tier.written_bytes);
  json.number("evicted_bytes", tier.evicted_bytes);
  json.number("corrupt_pages", tier.corrupt_pages);
  json.number("unverified_pages", tier.unverified_pages);
}

// Nothing when memory is all there is: the line of the worker says it.
void print_tiers(Output& out, const std::vector<WorkerStatus>& workers) {
  TextTable table({"WORKER", "TIER", "STATE", "CAPACITY", "USED", "", "READ", "WRITTEN", "ENGINE", "DIRECTORY"}, "lllrrrrrll");
  std::vector<std::string> troubles;
  bool any_device = false;
  for (const WorkerStatus& worker : workers) {
    if (worker.tiers.size() < 2) continue;
    any_device = true;
    for (const TierStatus& tier : worker.tiers) {
      const bool device = !tier.directory.empty();
      table.add({hex_id(worker.id), tier.name, tier.state, human_size(tier.capacity_bytes), human_size(tier.used_bytes),
                 percent(tier.used_bytes, tier.capacity_bytes), device ? human_size(tier.read_bytes) : "",
                 device ? human_size(tier.written_bytes) : "", tier.engine, printable(tier.directory)});
      if (!tier.reason.empty()) troubles.push_back(tier.name + " of " + hex_id(worker.id) + ": " + tier.reason);
    }
  }
  if (!any_device) return;
  out.line("");
  table.print(out);
  for (const std::string& trouble : troubles) out.line(trouble);
}

void write_worker(JsonWriter& json, const WorkerStatus& worker) {
  json.id("worker_id", worker.id);
  json.text("host", worker.host);
  json.text("address", worker.address);
  json.bytes("local_socket", worker.local_socket);
  json.text("state", worker.state);
  json.text("version", worker.version);
  json.number("capacity_bytes", worker.capacity_bytes);
  json.number("used_bytes", worker.used_bytes);
  json.number("leased_bytes", worker.leased_bytes);
  json.number("block_count", worker.block_count);
  json.number("hit_bytes", worker.hit_bytes);
  json.number("miss_bytes", worker.miss_bytes);
  json.number("fetched_bytes", worker.fetched_bytes);
  json.number("fetches", worker.fetches);
  json.number("since_heartbeat_ms", static_cast<std::int64_t>(worker.since_heartbeat.count()));
  json.begin_array("tiers");
  for (const TierStatus& tier : worker.tiers) {
    json.begin_object();
    write_tier(json, tier);
    json.end();
  }
  json.end();
}

void print_workers(Output& out, const std::vector<WorkerStatus>& workers) {
  if (workers.empty()) {
    out.line("no worker has registered; reads go straight to the under-store");
    return;
  }
  TextTable table({"WORKER", "HOST", "ADDRESS", "STATE", "CAPACITY", "USED", "", "LEASED", "BLOCKS", "SAVED", "HEARTBEAT"}, "llllrrrrrrr");
  for (const WorkerStatus& worker : workers) {
    table.add({hex_id(worker.id), worker.host, worker.address, worker.state, human_size(worker.capacity_bytes),
               human_size(worker.used_bytes), percent(worker.used_bytes, worker.capacity_bytes), human_size(worker.leased_bytes),
               std::to_string(worker.block_count), saved(worker.fetched_bytes, worker.hit_bytes + worker.miss_bytes),
               human_duration(worker.since_heartbeat) + " ago"});
  }
  table.print(out);
  print_tiers(out, workers);
}

void write_workers(JsonWriter& json, const std::vector<WorkerStatus>& workers) {
  json.begin_array("workers");
  for (const WorkerStatus& worker : workers) {
    json.begin_object();
    write_worker(json, worker);
    json.end();
  }
  json.end();
}

struct Totals {
  std::uint64_t capacity = 0;
  std::uint64_t used = 0;
  std::uint64_t hit = 0;
  std::uint64_t miss = 0;
  std::uint64_t fetched = 0;
  std::uint64_t fetches = 0;
};

Totals totals_of(const std::vector<WorkerStatus>& workers) {
  Totals totals;
  for (const WorkerStatus& worker : workers) {
    if (worker.state == "lost") continue;
    totals.capacity += worker.capacity_bytes;
    totals.used += worker.used_bytes;
    totals.hit += worker.hit_bytes;
    totals.miss += worker.miss_bytes;
    totals.fetched += worker.fetched_bytes;
    totals.fetches += worker.fetches;
  }
  return totals;
}

void write_blocks(JsonWriter& json, const std::vector<BlockPlacement>& blocks) {
  json.begin_array("blocks");
  for (const BlockPlacement& block : blocks) {
    json.begin_object();
    json.text("block_id", block.block_id);
    json.number("start_bytes", block.start_bytes);
    json.number("length_bytes", block.length_bytes);
    json.begin_array("replicas");
    for (const auto& replica : block.replicas) {
      json.begin_object();
      json.id("worker_id", replica.worker_id);
      json.text("address", replica.address);
      json.text("tier", replica.tier);
      json.number("resident_bytes", replica.resident_bytes);
      json.boolean("complete", replica.complete);
      json.number("leases", std::uint64_t{replica.leases});
      json.end();
    }
    json.end();
    json.text("short_circuit", block.short_circuit);
    json.text("would_read_from", block.would_read_from);
    json.end();
  }
  json.end();
}

std::string replicas_text(const BlockPlacement& block) {
  if (block.replicas.empty()) return "not cached";
  std::string text;
  for (const auto& replica : block.replicas) {
    if (!text.empty()) text += ", ";
    text += replica.address + " " + replica.tier + " " + percent(replica.resident_bytes, block.length_bytes);
    if (replica.leases > 0) text += " (" + std::to_string(replica.leases) + " leases)";
  }
  return text;
}

void print_blocks(Output& out, const std::vector<BlockPlacement>& blocks) {
  TextTable table({"  BLOCK", "START", "LENGTH", "CACHED AT"}, "lrrl");
  for (const BlockPlacement& block : blocks) {
    table.add({"  " + block.block_id, human_size(block.start_bytes), human_size(block.length_bytes), replicas_text(block)});
  }
  table.print(out);
}

// The attachment that the path lies in; null above all attachments.
const AttachmentStatus* attachment_of(const std::vector<AttachmentStatus>& all, const FileStatus& status) {
  for (const AttachmentStatus& attachment : all) if (attachment.id == status.attachment) return &attachment;
  return nullptr;
}

// The rule that stands behind most of what is done with the file; `hearth policy explain` has every attribute.
std::string policy_text(const Result<FileDecision>& decided) {
  if (!decided) return "can not be told: " + decided.error().message();
  const policy::Decision& decision = decided->decision;
  const policy::Source& source = decision.source(policy::Attribute::tier);
  const std::string tier = policy::explain(decision).front().value;
  std::string text = "tier " + tier + " by " + decided_by(source);
  if (decision.first_rule != policy::no_rule) {
    const policy::RuleName& rule = decided->policy.rules()[decision.first_rule];
    text += "; first rule that matches: '" + printable(rule.name) + "', line " + std::to_string(rule.line);
  }
  return text + "; policy version " + std::to_string(decided->version);
}

std::uint64_t resident_bytes(const BlockPlacement& block) {
  std::uint64_t most = 0;
  for (const auto& replica : block.replicas) most = std::max(most, replica.resident_bytes);
  return most;
}

}  // namespace

Result<Exit> run_workers(Context& context) {
  TRY(client, context.connect());
  TRY(workers, client.workers());
  if (context.out().is_json()) write_workers(context.out().json(), workers);
  else print_workers(context.out(), workers);
  return Exit::done;
}

Result<Exit> run_report(Context& context) {
  TRY(client, context.connect());
  TRY(master, client.master_status());
  TRY(workers, client.workers());
  TRY(attachments, client.attachments());
  const Totals totals = totals_of(workers);
  Output& out = context.out();
  if (out.is_json()) {
    JsonWriter& json = out.json();
    json.begin_object("master");
    json.text("address", context.master().address);
    json.text("version", master.version);
    json.id("cluster_id", master.cluster_id);
    json.text("started_at", time_json(master.started_at_ns));
    json.number("inode_count", master.inode_count);
    json.number("block_location_count", master.block_location_count);
    json.number("attachment_count", master.attachment_count);
    json.number("live_workers", master.live_workers);
    json.number("lost_workers", master.lost_workers);
    json.end();
    json.number("capacity_bytes", totals.capacity);
    json.number("used_bytes", totals.used);
    json.number("hit_bytes", totals.hit);
    json.number("miss_bytes", totals.miss);
    json.number("fetched_bytes", totals.fetched);
    json.number("fetches", totals.fetches);
    write_workers(json, workers);
    return Exit::done;
  }
  out.line("master   " + context.master().address + "  version " + master.version + "  since " + time_text(master.started_at_ns) +
           "  cluster " + hex_id(master.cluster_id));
  out.line("names    " + std::to_string(master.inode_count) + " known, " + std::to_string(master.block_location_count) + " cached blocks, " +
           std::to_string(master.attachment_count) + " attachments");
  out.line("workers  " + std::to_string(master.live_workers) + " live, " + std::to_string(master.lost_workers) + " lost");
  out.line("cache    " + human_size(totals.used) + " of " + human_size(totals.capacity) + " (" + percent(totals.used, totals.capacity) +
           ")");
  const std::uint64_t served = totals.hit + totals.miss;
  out.line("served   " + human_size(served) + " by workers (plus short-circuit reads), " + human_size(totals.fetched) +
           " fetched from under-stores in " + std::to_string(totals.fetches) + " reads, " + saved(totals.fetched, served) + " saved");
  out.line("");
  print_workers(out, workers);
  if (!attachments.empty()) out.line("");
  for (const AttachmentStatus& attachment : attachments) out.line(printable(attachment.path) + " <- " + printable(attachment.uri));
  return Exit::done;
}

Result<Exit> run_locate(Context& context) {
  TRY(client, context.connect());
  return for_each_path(context, context.arguments(), "files", [&](const std::string& given) -> Status {
    const std::string path = tidy_path(given);
    TRY(blocks, client.locations(path));
    if (context.out().is_json()) {
      write_blocks(context.out().json(), blocks);
      return ok();
    }
    context.out().line(printable(path) + (blocks.empty() ? ": empty, no blocks" : ""));
    if (!blocks.empty()) print_blocks(context.out(), blocks);
    return ok();
  });
}

Result<Exit> run_explain(Context& context) {
  TRY(client, context.connect());
  const std::string path = tidy_path(context.arguments()[0]);
  TRY(status, client.stat(path));
  TRY(attachments, client.attachments());
  std::vector<BlockPlacement> blocks;
  if (status.type == EntryType::regular) {
    TRY(found, client.locations(path));
    blocks = std::move(found);
  }
  const AttachmentStatus* attachment = attachment_of(attachments, status);
  const Result<FileDecision> decided = decide_for(client, path, status, context.words().text("tenant"));
  std::uint64_t resident = 0;
  for (const BlockPlacement& block : blocks) resident += resident_bytes(block);
  Output& out = context.out();
  if (out.is_json()) {
    out.json().bytes("path", path);
    write_status(out.json(), status);
    out.json().number("ttl_ms", static_cast<std::int64_t>(status.ttl.count()));
    if (attachment != nullptr) {
      out.json().bytes("attachment_path", attachment->path);
      out.json().bytes("attachment_uri", attachment->uri);
    }
    out.json().number("resident_bytes", resident);
    out.json().begin_object("policy");
    if (decided) write_decision(out.json(), decided->version, decided->decision);
    out.json().end();
    write_blocks(out.json(), blocks);
    return Exit::done;
  }
  out.line(printable(path) + ": " + std::string(type_name(status.type)) + ", " + human_size(status.length_bytes));
  out.line("  attachment     " + (attachment == nullptr ? std::string("none: a directory above attachments")
                                                       : printable(attachment->path) + " <- " + printable(attachment->uri)));
  out.line("  version        " + (is_utf8(status.version) ? printable(status.version) : base64(status.version)) +
           (status.served_stale ? "  (the under-store does not answer: last known state)" : ""));
  out.line("  believed for   " + human_duration(status.ttl) + " more, then the under-store is asked again");
  if (status.type != EntryType::regular) return Exit::done;
  out.line("  policy         " + policy_text(decided));
  out.line("  cached         " + human_size(resident) + " of " + human_size(status.length_bytes) + " (" + percent(resident, status.length_bytes) +
           ") in " + std::to_string(blocks.size()) + (blocks.size() == 1 ? " block" : " blocks"));
  if (blocks.empty()) return Exit::done;
  out.line("  read from      " + blocks.front().would_read_from);
  out.line("  short circuit  " + blocks.front().short_circuit);
  print_blocks(out, blocks);
  return Exit::done;
}

}  // namespace hearth::cli
