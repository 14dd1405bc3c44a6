// Proves access to an under-store from this process, before anything is attached: no cluster is needed.
//
// Runs here and not in the master: it answers before there is one, and credentials by reference (a file, the environment)
// are found by whichever process reads the store: run it on the hosts, and as the users, that will.
#pragma once

#include <hearth/cluster.h>
#include <hearth/code.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct AccessStepReport {
  std::string name;    // options, resolve, connect, tls or http, credentials, access, list, read
  Code code = Code::ok;
  std::string message;  // of the failure, else what was found
  std::uint64_t took_us = 0;
};

// The steps up to and with the first that failed.
std::vector<AccessStepReport> check_access(std::string_view uri, const AttachmentOptions& options, std::chrono::milliseconds timeout);

}  // namespace hearth
