// Where credentials come from, by reference: what may be stored and shown. Never the secret itself.
//
// Fails: invalid_argument, with the forms that are accepted.
#pragma once

#include <hearth/result.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace hearth::s3 {

struct CredentialSource {
  enum class Kind : std::uint8_t {
    chain,         // the first of: environment, web identity, profile, container, instance metadata
    environment,   // env
    file,          // file:/path[#profile]
    profile,       // profile:name, in the user's shared files
    systemd,       // systemd:NAME, a file in $CREDENTIALS_DIRECTORY
    web_identity,  // web-identity
    container,     // container
    instance,      // imds
    anonymous,     // anonymous: requests are not signed
  };
  Kind kind = Kind::chain;
  std::string path;     // file, or the name for systemd
  std::string profile = "default";
};

Result<CredentialSource> parse_credential_source(std::string_view text);
std::string to_string(const CredentialSource& source);

}  // namespace hearth::s3
