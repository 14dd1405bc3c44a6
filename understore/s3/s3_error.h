// What an S3 service's refusal means: our code, and one sentence with the store's own code and request id.
//
// Threads: pure functions.
#pragma once

#include "common/http/http.h"
#include "understore/s3/s3_xml.h"

#include <optional>
#include <string>
#include <string_view>

namespace hearth::s3 {

struct Refusal {
  int status = 0;
  std::string operation;  // "GetObject"
  std::string object;     // "s3://bucket/key", printable
  std::string endpoint;   // scheme and host that were asked
  std::string region;     // that was signed for
  std::string credentials;  // their source
  ErrorDocument document;   // empty where the reply had none
  std::string retry_after;  // seconds, as sent
  std::string date;         // of the store's clock, as sent
};

Error error_of(const Refusal& refusal);

}  // namespace hearth::s3
