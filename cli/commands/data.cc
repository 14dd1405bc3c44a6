// ls, stat, cat.
#include "cli/commands/commands.h"

#include "common/units.h"

#include <array>
#include <cstddef>

namespace hearth::cli {
namespace {

constexpr std::size_t list_page = 1000;
constexpr std::size_t cat_piece_bytes = 1U << 20;
constexpr std::uint64_t json_cat_max_bytes = 64ULL << 20;

struct ListStyle {
  bool with_details = false;
  bool recursive = false;
  bool with_heading = false;
};

void print_item(Output& out, const DirectoryItem& item, const ListStyle& style) {
  std::string shown = printable(item.name);
  if (!style.with_details) {
    out.line(shown);
    return;
  }
  const FileStatus& status = item.status;
  if (status.type == EntryType::symlink) shown += " -> " + printable(status.symlink_target);
  char columns[96];
  std::snprintf(columns, sizeof columns, "%s %3u %6u %6u %13llu %s ", mode_text(status).c_str(), status.link_count,
                status.uid, status.gid, static_cast<unsigned long long>(status.length_bytes), time_text(status.mtime_ns).c_str());
  out.line(columns + shown);
}

void write_item(JsonWriter& json, const std::string& directory, const DirectoryItem& item) {
  json.begin_object();
  json.bytes("name", item.name);
  json.bytes("path", join_path(directory, item.name));
  write_status(json, item.status);
  json.end();
}

// One directory, page by page; `below` receives its directories.
Status list_directory(Context& context, const Client& client, const std::string& path, const ListStyle& style,
                      std::vector<std::string>& below) {
  Output& out = context.out();
  std::string after;
  while (true) {
    TRY(page, client.list(path, after, list_page));
    for (const DirectoryItem& item : page.items) {
      if (out.is_json()) write_item(out.json(), path, item);
      else print_item(out, item, style);
      if (item.status.type == EntryType::directory) below.push_back(join_path(path, item.name));
    }
    if (!page.more || page.items.empty()) return ok();
    after = page.items.back().name;
  }
}

Status list_tree(Context& context, const Client& client, const std::string& root, const ListStyle& style) {
  Output& out = context.out();
  std::vector<std::string> waiting{root};
  Status outcome = ok();
  bool first = true;
  while (!waiting.empty()) {
    const std::string path = waiting.back();
    waiting.pop_back();
    if (style.with_heading) out.line((first ? "" : "\n") + printable(path) + ":");
    first = false;
    std::vector<std::string> below;
    auto listed = list_directory(context, client, path, style, below);
    if (!listed && path == root) return listed;
    if (!listed) {
      out.complaint(listed.error());
      outcome = std::move(listed);
    }
    if (style.recursive) waiting.insert(waiting.end(), below.rbegin(), below.rend());
  }
  return outcome;
}

Status cat_one(const Client& client, const std::string& path) {
  TRY(file, client.open(path));
  std::vector<std::byte> piece(cat_piece_bytes);
  std::uint64_t offset = 0;
  while (true) {
    TRY(count, file.pread(piece, offset));
    if (count == 0) return ok();
    write_stdout({reinterpret_cast<const char*>(piece.data()), count});
    offset += count;
  }
}

}  // namespace

Result<Exit> run_ls(Context& context) {
  TRY(client, context.connect());
  std::vector<std::string> paths = context.arguments();
  if (paths.empty()) paths.push_back("/");
  const ListStyle style{.with_details = context.words().has("long"), .recursive = context.words().has("recursive"),
                        .with_heading = paths.size() > 1 || context.words().has("recursive")};
  return for_each_path(context, paths, "paths", [&](const std::string& given) -> Status {
    const std::string path = tidy_path(given);
    TRY(status, client.stat(path));
    Output& out = context.out();
    if (status.type != EntryType::directory) {
      if (!out.is_json()) print_item(out, {path, status}, style);
      else write_status(out.json(), status);
      return ok();
    }
    if (!out.is_json()) return list_tree(context, client, path, style);
    out.json().begin_array("entries");
    auto listed = list_tree(context, client, path, style);
    out.json().end();
    return listed;
  });
}

Result<Exit> run_stat(Context& context) {
  TRY(client, context.connect());
  return for_each_path(context, context.arguments(), "paths", [&](const std::string& given) -> Status {
    TRY(status, client.stat(tidy_path(given)));
    Output& out = context.out();
    if (out.is_json()) {
      write_status(out.json(), status);
      return ok();
    }
    out.line(printable(given));
    out.line("  type        " + std::string(type_name(status.type)) +
             (status.type == EntryType::symlink ? " -> " + printable(status.symlink_target) : ""));
    out.line("  length      " + std::to_string(status.length_bytes) + " (" + human_size(status.length_bytes) + ")");
    out.line("  mode        " + mode_text(status) + "  uid " + std::to_string(status.uid) + "  gid " + std::to_string(status.gid) +
             "  links " + std::to_string(status.link_count));
    out.line("  modified    " + time_text(status.mtime_ns));
    out.line("  changed     " + time_text(status.ctime_ns));
    out.line("  inode       " + std::to_string(status.inode));
    out.line("  attachment  " + (status.attachment == 0 ? std::string("none") : std::to_string(status.attachment)));
    if (status.served_stale) out.line("  stale       yes: the under-store does not answer; this is its last known state");
    return ok();
  });
}

Result<Exit> run_cat(Context& context) {
  TRY(client, context.connect());
  return for_each_path(context, context.arguments(), "files", [&](const std::string& given) -> Status {
    const std::string path = tidy_path(given);
    if (!context.out().is_json()) return cat_one(client, path);
    TRY(content, client.read_file(path, json_cat_max_bytes));
    context.out().json().number("length_bytes", static_cast<std::uint64_t>(content.size()));
    context.out().json().text("content_base64", base64(content));
    return ok();
  });
}

}  // namespace hearth::cli
