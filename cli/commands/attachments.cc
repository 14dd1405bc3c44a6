// attach, detach, attachments.
#include "cli/commands/commands.h"
#include "cli/commands/local_uri.h"
#include "common/units.h"

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
}

AttachmentOptions options_of(const Invocation& words) {
  AttachmentOptions options;
  options.metadata_ttl = std::chrono::duration_cast<std::chrono::milliseconds>(*words.duration("metadata-ttl"));
  options.block_size_bytes = *words.size_bytes("block-size");
  options.page_size_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(*words.size_bytes("page-size"), UINT_MAX));
  if (words.text("placement") == "hash") options.placement = AttachmentOptions::Placement::hash;
  if (words.text("serve-stale") == "until_ttl") options.serve_stale = AttachmentOptions::ServeStale::until_ttl;
  if (words.text("serve-stale") == "never") options.serve_stale = AttachmentOptions::ServeStale::never;
  return options;
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
  TRY(client, context.connect());
  TRY(attachment, client.attach(tidy_path(context.arguments()[0]), uri, options_of(context.words())));
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
  TextTable table({"PATH", "URI", "TTL", "BLOCK", "PAGE", "PLACEMENT", "STALE"}, "llrrrll");
  for (const AttachmentStatus& attachment : all) {
    table.add({printable(attachment.path), printable(attachment.uri), exact_duration(attachment.options.metadata_ttl),
               exact_size({attachment.options.block_size_bytes}), exact_size({attachment.options.page_size_bytes}),
               std::string(placement_name(attachment.options.placement)), std::string(stale_name(attachment.options.serve_stale))});
  }
  table.print(out);
  return Exit::done;
}

}  // namespace hearth::cli
