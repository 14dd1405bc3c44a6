#include "cli/commands/context.h"

#include "cli/up/discovery.h"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace hearth::cli {

Context::MasterChoice Context::master() const {
  if (invocation_.has("master")) return {invocation_.text("master"), "--master or HEARTH_MASTER"};
  const auto running = find_running_up();
  if (running) return {running->master, "hearth up"};
  return {"127.0.0.1:19800", "default"};
}

ClientOptions Context::client_options() const {
  ClientOptions options;
  options.master = master().address;
  options.metadata_deadline = std::chrono::seconds(5);
  options.subscribe = false;  // it is gone before anything could change
  options.tenant = invocation_.text("tenant");
  const auto limit = invocation_.duration("timeout");
  if (!limit) return options;
  const auto given = std::max(std::chrono::duration_cast<std::chrono::milliseconds>(*limit), std::chrono::milliseconds(1));
  options.metadata_deadline = given;
  options.read_deadline = given;
  options.attempt_deadline = std::min(options.attempt_deadline, given);
  return options;
}

Result<Client> Context::connect() const {
  auto client = Client::connect(client_options());
  if (client) return client;
  const MasterChoice choice = master();
  Error error = std::move(client).error();
  if (error.code() != Code::unavailable && error.code() != Code::deadline_exceeded) return error;
  return Error(error.code(), "the master at " + choice.address + " (from " + std::string(choice.origin) + ") does not answer: " +
               error.message() + "; start one with `hearth up`, or name another with --master");
}

Result<Client> Context::connect_to_change() const {
  constexpr auto patience = std::chrono::seconds(60);
  CHECK_OK(connect());  // who is not there is said soon
  ClientOptions options = client_options();
  const auto running = find_running_up();
  if (!invocation_.has("master") && running && !running->master_socket.empty()) options.master = running->master_socket;
  if (!invocation_.duration("timeout")) options.metadata_deadline = patience;
  return Client::connect(options);
}

Result<Exit> for_each_path(Context& context, const std::vector<std::string>& paths, std::string_view key,
                           const std::function<Status(const std::string&)>& run) {
  Output& out = context.out();
  std::size_t failed = 0;
  Error first;
  if (out.is_json()) out.json().begin_array(key);
  for (const std::string& path : paths) {
    if (out.is_json()) out.json().begin_object();
    if (out.is_json()) out.json().bytes("path", path);
    auto done = run(path);
    if (!done) {
      if (failed++ == 0) first = done.error();
      if (out.is_json()) write_error(out.json(), "error", done.error());
      else if (paths.size() > 1) out.complaint(done.error());
    }
    if (out.is_json()) out.json().end();
  }
  if (out.is_json()) out.json().end();
  if (failed == 0) return Exit::done;
  if (paths.size() == 1) return first;
  if (failed < paths.size()) return Exit::partly;
  return Error(first.code(), "none of the " + std::to_string(paths.size()) + " paths worked");
}

void write_error(JsonWriter& json, std::string_view key, const Error& error) {
  json.begin_object(key);
  json.text("code", name(error.code()));
  json.text("message", error.message());
  json.end();
}

std::string_view type_name(EntryType type) {
  switch (type) {
    case EntryType::regular: return "file";
    case EntryType::directory: return "directory";
    case EntryType::symlink: return "symlink";
    case EntryType::other: return "other";
  }
  return "other";
}

void write_status(JsonWriter& json, const FileStatus& status) {
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", status.mode & 07777U);
  json.text("type", type_name(status.type));
  json.number("length_bytes", status.length_bytes);
  json.text("mode", mode);
  json.number("uid", std::uint64_t{status.uid});
  json.number("gid", std::uint64_t{status.gid});
  json.number("link_count", std::uint64_t{status.link_count});
  json.text("modified_at", time_json(status.mtime_ns));
  json.text("changed_at", time_json(status.ctime_ns));
  json.id("inode", status.inode);
  json.number("attachment_id", std::uint64_t{status.attachment});
  json.bytes("version", status.version);
  if (status.type == EntryType::symlink) json.bytes("symlink_target", status.symlink_target);
  json.boolean("served_stale", status.served_stale);
}

std::string mode_text(const FileStatus& status) {
  static constexpr std::string_view letters = "rwxrwxrwx";
  std::string out = "-";
  if (status.type == EntryType::directory) out = "d";
  if (status.type == EntryType::symlink) out = "l";
  if (status.type == EntryType::other) out = "?";
  for (unsigned bit = 0; bit < 9; ++bit) {
    out += (status.mode >> (8 - bit) & 1U) != 0 ? letters[bit] : '-';
  }
  const auto special = [&](std::size_t at, unsigned mask, char with, char without) {
    if ((status.mode & mask) != 0) out[at] = out[at] == 'x' ? with : without;
  };
  special(3, 04000, 's', 'S');
  special(6, 02000, 's', 'S');
  special(9, 01000, 't', 'T');
  return out;
}

std::string time_text(std::int64_t time_ns) {
  const std::time_t seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  std::tm parts{};
  char text[32];
  localtime_r(&seconds, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
  return text;
}

std::string time_json(std::int64_t time_ns) {
  std::int64_t rest = time_ns % 1'000'000'000;
  std::time_t seconds = static_cast<std::time_t>(time_ns / 1'000'000'000);
  if (rest < 0) {
    rest += 1'000'000'000;
    --seconds;
  }
  std::tm parts{};
  char text[32];
  char fraction[16];
  gmtime_r(&seconds, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(fraction, sizeof fraction, ".%09dZ", static_cast<int>(rest));
  return std::string(text) + fraction;
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string out(directory);
  if (out.empty() || out.back() != '/') out += '/';
  return out += name;
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string tidy_path(std::string_view path) {
  std::string out;
  for (char c : path) {
    if (c == '/' && !out.empty() && out.back() == '/') continue;
    out += c;
  }
  if (out.size() > 1 && out.back() == '/') out.pop_back();
  return out;
}

}  // namespace hearth::cli
