// attach, detach, attachments.
#include "cli/commands/commands.h"
#include "cli/commands/local_uri.h"
#include "common/units.h"

#include <hearth/access_check.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace hearth::cli {
namespace {

std::string_view placement_name(AttachmentOptions::Placement placement) {
  return placement == AttachmentOptions::Placement::hash ? "hash" : "local_first";
}

std::string_view stale_name(AttachmentOptions::ServeStale stale) {
  switch (stale) {
    case AttachmentOptions::ServeStale::always: return "always";
    case AttachmentOptions::ServeStale::until_ttl: return "until_ttl";
    case AttachmentOptions::ServeStale::never: return "never";
  }
  return "always";
}

void write_attachment(JsonWriter& json, const AttachmentStatus& attachment) {
  json.number("attachment_id", std::uint64_t{attachment.id});
  json.bytes("path", attachment.path);
  json.bytes("uri", attachment.uri);
  json.number("metadata_ttl_ms", static_cast<std::int64_t>(attachment.options.metadata_ttl.count()));
  json.number("block_size_bytes", attachment.options.block_size_bytes);
  json.number("page_size_bytes", std::uint64_t{attachment.options.page_size_bytes});
  json.text("placement", placement_name(attachment.options.placement));
  json.text("serve_stale", stale_name(attachment.options.serve_stale));
  json.boolean("read_only", attachment.options.read_only);
  json.begin_object("store_options");
  for (const auto& [name, value] : attachment.options.store_options) json.bytes(name, value);
  json.end();
}

// "endpoint=http://127.0.0.1:9000 region=eu", or "-".
std::string options_in_words(const AttachmentOptions& options) {
  std::string out;
  for (const auto& [name, value] : options.store_options) out += (out.empty() ? "" : " ") + name + "=" + printable(value);
  return out.empty() ? "-" : out;
}

Result<AttachmentOptions> options_of(const Invocation& words) {
  AttachmentOptions options;
  options.metadata_ttl = std::chrono::duration_cast<std::chrono::milliseconds>(*words.duration("metadata-ttl"));
  options.block_size_bytes = *words.size_bytes("block-size");
  options.page_size_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(*words.size_bytes("page-size"), UINT_MAX));
  if (words.text("placement") == "hash") options.placement = AttachmentOptions::Placement::hash;
  if (words.text("serve-stale") == "until_ttl") options.serve_stale = AttachmentOptions::ServeStale::until_ttl;
  if (words.text("serve-stale") == "never") options.serve_stale = AttachmentOptions::ServeStale::never;
  options.read_only = words.has("read-only");
  for (const std::string& given : words.all("option")) {
    const std::size_t equals = given.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(Code::invalid_argument, "--option=" + printable(given) + " is not NAME=VALUE; write it like --option=region=eu-central-1");
    }
    const bool is_new = options.store_options.emplace(given.substr(0, equals), given.substr(equals + 1)).second;
    if (!is_new) return Error(Code::invalid_argument, "--option=" + printable(given.substr(0, equals)) + " was given twice; give it once");
  }
  return options;
}

constexpr std::chrono::seconds dry_run_timeout{30};

// The failure is the command's own, so that its exit code and sentence are those of the step.
Result<Exit> prove_access(Context& context, const std::string& uri, const AttachmentOptions& options) {
  const std::vector<AccessStepReport> steps = check_access(uri, options, dry_run_timeout);
  Output& out = context.out();
  if (out.is_json()) {
    out.json().begin_array("steps");
    for (const AccessStepReport& step : steps) {
      out.json().begin_object();
      out.json().text("step", step.name);
      out.json().text("code", name(step.code));
      out.json().text("message", step.message);
      out.json().number("took_us", step.took_us);
      out.json().end();
    }
    out.json().end();
  }
  for (const AccessStepReport& step : steps) {
    if (step.code != Code::ok) return Error(step.code, "step " + step.name + " failed: " + step.message);
    out.line("ok  " + step.name + std::string(step.name.size() < 12 ? 12 - step.name.size() : 1, ' ') + step.message + " (" +
             human_duration(std::chrono::microseconds(step.took_us)) + ")");
  }
  out.line("access to " + uri + " works from this host; nothing was attached");
  return Exit::done;
}

}  // namespace

Result<std::string> uri_of(std::string_view text) {
  const std::string given(text);
  if (given.find("://") != std::string::npos) return given;
  char resolved[PATH_MAX];
  if (::realpath(given.c_str(), resolved) == nullptr) {
    return Error(code_from_errno(errno), given + " is neither a URI (file:///dir) nor a directory of this host that can be reached");
  }
  return "file://" + std::string(resolved);
}

Result<Exit> run_attach(Context& context) {
  TRY(uri, uri_of(context.arguments()[1]));
  TRY(options, options_of(context.words()));
  if (context.words().has("dry-run")) return prove_access(context, uri, options);
  TRY(client, context.connect());
  TRY(attachment, client.attach(tidy_path(context.arguments()[0]), uri, options));
  if (context.out().is_json()) write_attachment(context.out().json(), attachment);
  context.out().line("attached " + attachment.uri + " at " + attachment.path);
  return Exit::done;
}

Result<Exit> run_detach(Context& context) {
  TRY(client, context.connect());
  const std::string path = tidy_path(context.arguments()[0]);
  CHECK_OK(client.detach(path));
  if (context.out().is_json()) context.out().json().bytes("path", path);
  context.out().line("detached " + path);
  return Exit::done;
}

Result<Exit> run_attachments(Context& context) {
  TRY(client, context.connect());
  TRY(all, client.attachments());
  Output& out = context.out();
  if (out.is_json()) {
    out.json().begin_array("attachments");
    for (const AttachmentStatus& attachment : all) {
      out.json().begin_object();
      write_attachment(out.json(), attachment);
      out.json().end();
    }
    out.json().end();
    return Exit::done;
  }
  if (all.empty()) {
    out.remark("nothing is attached; bind a directory with `hearth attach /data DIR`");
    return Exit::done;
  }
  TextTable table({"PATH", "URI", "TTL", "BLOCK", "PAGE", "PLACEMENT", "STALE", "CHANGES", "OPTIONS"}, "llrrrllll");
  for (const AttachmentStatus& attachment : all) {
    table.add({printable(attachment.path), printable(attachment.uri), exact_duration(attachment.options.metadata_ttl),
               exact_size({attachment.options.block_size_bytes}), exact_size({attachment.options.page_size_bytes}),
               std::string(placement_name(attachment.options.placement)), std::string(stale_name(attachment.options.serve_stale)),
               attachment.options.read_only ? "refused" : "allowed", options_in_words(attachment.options)});
  }
  table.print(out);
  return Exit::done;
}

}  // namespace hearth::cli
