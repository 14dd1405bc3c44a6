// Method::whatif and Method::trace: what the observer of this worker's reads knows.
//
// Threads: confined to the data thread. Fails: as each call says.
#pragma once

#include "worker/service.h"

namespace hearth::worker {

class ObserveHandlers {
 public:
  explicit ObserveHandlers(Service& service) : service_(service) {}

  Task<ServerReply> whatif(std::shared_ptr<ServerCall> call);
  // Starts (busy, invalid_argument) or stops a recording (not_found); the stopped one is the payload of the reply.
  Task<ServerReply> trace(std::shared_ptr<ServerCall> call);

 private:
  Service& service_;
};

}  // namespace hearth::worker
