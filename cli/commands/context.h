// What every command gets: its words, its output, and a client when it needs one.
#pragma once

#include "cli/output/output.h"
#include "cli/parser/parse.h"

#include <hearth/client.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

// How a command ended when it did not fail with an Error.
enum class Exit : int { done = 0, partly = 3, problems = 7 };

class Context {
 public:
  Context(const Program& program, const Invocation& invocation, Output& out)
      : program_(program), invocation_(invocation), out_(out) {}

  const Program& program() const { return program_; }
  const Invocation& words() const { return invocation_; }
  const std::vector<std::string>& arguments() const { return invocation_.arguments; }
  Output& out() const { return out_; }

  // The master to talk to, and who named it ("--master", "HEARTH_MASTER", "hearth up", "default").
  struct MasterChoice { std::string address; std::string_view origin; };
  MasterChoice master() const;
  ClientOptions client_options() const;
  Result<Client> connect() const;
  // To a master that can see who asks: over its Unix socket where `hearth up` runs here. Has more time: a change is not to be
  // given up half-way.
  Result<Client> connect_to_change() const;

 private:
  const Program& program_;
  const Invocation& invocation_;
  Output& out_;
};

using CommandFunction = Result<Exit> (*)(Context&);

// One of several arguments: does what is asked for it, and when it fails says so and goes on.
// All failed: the first error. Some: Exit::partly. With --json each failure is an element
// {"path", "error"} of the array `key`.
Result<Exit> for_each_path(Context& context, const std::vector<std::string>& paths, std::string_view key,
                           const std::function<Status(const std::string&)>& run);

// {"code", "message"} under `key`.
void write_error(JsonWriter& json, std::string_view key, const Error& error);
// The members of a status, into the object that is open.
void write_status(JsonWriter& json, const FileStatus& status);
std::string_view type_name(EntryType type);
// "drwxr-xr-x".
std::string mode_text(const FileStatus& status);
// "2026-03-01 12:34:56" in local time.
std::string time_text(std::int64_t time_ns);
// "2026-03-01T12:34:56.123456789Z".
std::string time_json(std::int64_t time_ns);
std::string join_path(std::string_view directory, std::string_view name);
std::string_view base_name(std::string_view path);
// "/a/b/" and "/a//b" as "/a/b": what the library wants; "." and ".." are left for it to refuse.
std::string tidy_path(std::string_view path);

}  // namespace hearth::cli
