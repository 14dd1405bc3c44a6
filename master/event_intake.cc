#include "master/event_intake.h"

#include "common/net/stream.h"

#include <fstream>
#include <utility>

namespace hearth::master {
namespace {

constexpr std::size_t shortest_token = 16;
constexpr std::size_t longest_token = 4096;

Result<std::string> token_of(const std::string& file) {
  if (file.empty()) {
    return Error(Code::invalid_argument, "events are only taken with a token; set master.events_token_file to a file that holds it");
  }
  std::ifstream in(file);
  std::string token;
  if (!std::getline(in, token)) {
    return Error(Code::invalid_argument, "the token file " + file + " can not be read or is empty");
  }
  while (!token.empty() && (token.back() == '\r' || token.back() == ' ')) token.pop_back();
  if (token.size() < shortest_token || token.size() > longest_token) {
    return Error(Code::invalid_argument, "the token in " + file + " has " + std::to_string(token.size()) +
                                             " characters; it needs at least 16, for example from `openssl rand -hex 32`");
  }
  return token;
}

// Takes the same time wherever they differ.
bool same_secret(std::string_view given, std::string_view secret) {
  unsigned char difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ secret[i % secret.size()]);
  }
  return difference == 0;
}

Status admit(std::string_view head, std::string_view token) {
  constexpr std::string_view bearer = "Bearer ";
  std::string_view given = header_of_head(head, "X-Hearth-Token").value_or("");
  const std::string_view authorization = header_of_head(head, "Authorization").value_or("");
  if (authorization.starts_with(bearer)) given = authorization.substr(bearer.size());
  if (same_secret(given, token)) return ok();
  return Error(Code::unauthenticated, "the token is missing or wrong; send it as Authorization: Bearer TOKEN");
}

}  // namespace

Result<std::unique_ptr<MetricsServer>> start_event_intake(const EventIntakeOptions& options, TakeEvents take) {
  TRY(address, Address::parse(options.listen));
  TRY(token, token_of(options.token_file));
  HttpPost post;
  post.path = "/v1/events/s3";
  post.admit = [token = std::move(token)](std::string_view head) { return admit(head, token); };
  post.take = [take = std::move(take)](std::string body) -> Status {
    TRY(events, parse_s3_events(body));
    return take(std::move(events));
  };
  MetricsServerOptions server{.host = address.host, .port = address.port};
  server.posts.push_back(std::move(post));
  auto started = MetricsServer::start(std::move(server));
  if (!started) return std::move(started).error().with_context("master.events_listen");
  return started;
}

}  // namespace hearth::master
