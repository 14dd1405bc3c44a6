// What a store that is reached over a network tells of its way there, for `hearth attach --dry-run`.
//
// A store implements it besides UnderStore where it can; without it the way is one step.
#pragma once

#include "common/async.h"
#include "common/clock.h"

#include <string>
#include <string_view>
#include <vector>

namespace hearth {

class AccessProbe {
 public:
  virtual ~AccessProbe() = default;
  // "http://host:port" or "https://host", where requests go.
  virtual std::string endpoint() const = 0;
  // What is dialled for it, any of which will do: a proxy, several namenodes, addresses that a host map gives.
  virtual std::vector<std::string> dialled() const { return {endpoint()}; }
  // The option that decides it, for advice.
  virtual std::string_view endpoint_option() const { return "endpoint"; }
  // One request without credentials: whoever answers at all has proven the connection, and TLS where there is one.
  virtual Task<> greet(Deadline deadline) = 0;
  // Whether credentials are there; says where they come from, never what they are.
  virtual Task<std::string> find_credentials(Deadline deadline) = 0;
};

}  // namespace hearth
