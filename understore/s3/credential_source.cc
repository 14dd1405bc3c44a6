#include "understore/s3/credential_source.h"

#include "understore/store_path.h"

namespace hearth::s3 {
namespace {

using Kind = CredentialSource::Kind;

constexpr std::string_view forms =
    "default, env, file:/path[#profile], profile:name, systemd:NAME, web-identity, container, imds, anonymous";

}  // namespace

Result<CredentialSource> parse_credential_source(std::string_view text) {
  CredentialSource source;
  const auto colon = text.find(':');
  const std::string_view word = text.substr(0, colon);
  const std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const bool alone = colon == std::string_view::npos;
  // Not shown whole when it is no known form: somebody may have written a secret there.
  const Error bad(Code::invalid_argument, "option credentials is none of the forms " + std::string(forms) +
                                              "; keys themselves are never an option: put them into a file");
  if (word == "file" && rest.starts_with('/')) {
    source.kind = Kind::file;
    const auto hash = rest.rfind('#');
    source.path = rest.substr(0, hash);
    if (hash != std::string_view::npos) source.profile = rest.substr(hash + 1);
    return source;
  }
  if (word == "profile" && !rest.empty()) {
    source.kind = Kind::profile;
    source.profile = rest;
    return source;
  }
  if (word == "systemd" && !rest.empty() && rest.find('/') == std::string_view::npos && rest != ".." && rest != ".") {
    source.kind = Kind::systemd;
    source.path = rest;
    return source;
  }
  if (!alone) return bad;
  if (text.empty() || word == "default") return source;
  if (word == "env") source.kind = Kind::environment;
  else if (word == "web-identity") source.kind = Kind::web_identity;
  else if (word == "container") source.kind = Kind::container;
  else if (word == "imds") source.kind = Kind::instance;
  else if (word == "anonymous") source.kind = Kind::anonymous;
  else return bad;
  return source;
}

std::string to_string(const CredentialSource& source) {
  switch (source.kind) {
    case Kind::chain: return "default";
    case Kind::environment: return "env";
    case Kind::file: return "file:" + source.path + (source.profile == "default" ? "" : "#" + source.profile);
    case Kind::profile: return "profile:" + source.profile;
    case Kind::systemd: return "systemd:" + source.path;
    case Kind::web_identity: return "web-identity";
    case Kind::container: return "container";
    case Kind::instance: return "imds";
    case Kind::anonymous: return "anonymous";
  }
  return "default";
}

}  // namespace hearth::s3
