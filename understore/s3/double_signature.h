// The test store's own idea of SigV4, written from the specification and not from sigv4.cc: it works on the raw request
// as it arrived, where the signer works on what it is about to send.
//
// Threads: pure functions.
#pragma once

#include "common/clock.h"
#include "common/http/test_server.h"

#include <optional>
#include <string>
#include <string_view>

namespace hearth::s3 {

struct DoubleIdentity {
  std::string access_key_id = "AKIDDOUBLE";
  std::string secret = "canary-secret-of-the-double";
  std::string session_token;  // must be sent when set
  std::string region = "us-east-1";
};

// Why a request is refused: as S3 would say it.
struct DoubleRefusal {
  int status = 403;
  std::string code;
  std::string message;
};

struct VerifiedBody {
  std::optional<DoubleRefusal> refusal;
  std::string body;  // what aws-chunked wrapped, or the body as it came
};

// Checks signature, scope, clock, token and payload hash. The body without its aws-chunked framing.
VerifiedBody verify_request(const TestRequest& request, const DoubleIdentity& identity, WallTime now);

std::string double_percent_decode(std::string_view text);

}  // namespace hearth::s3
