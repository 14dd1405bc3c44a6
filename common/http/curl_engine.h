// libcurl's multi interface joined to an Asio event loop on a thread of its own.
//
// Threads: submit(), cancel(), close() from any; shutdown() from any but its own. Everything else runs on its thread.
// Owns:    the thread, the connections, and the transfers in flight.
// Bounds:  max_connections_per_host transfers of a host and max_connections altogether are on a connection (HTTP/1.1:
//          one each); max_waiting wait for a place, more are `overloaded`. The queues are first come, first served.
#pragma once

#include "common/http/http.h"
#include "common/http/transfer.h"

#include <memory>

namespace hearth {

class CurlEngine {
 public:
  static constexpr std::size_t max_waiting = 65536;

  explicit CurlEngine(HttpClientOptions options);
  ~CurlEngine();
  CurlEngine(const CurlEngine&) = delete;
  CurlEngine& operator=(const CurlEngine&) = delete;

  void submit(std::shared_ptr<Transfer> transfer);
  // The transfer ends with `cancelled`, unless it ended already.
  void cancel(std::shared_ptr<Transfer> transfer);
  // Everything in flight ends with `cancelled`, and so does everything that comes.
  void close();
  // close(), and the thread has ended when this returns.
  void shutdown();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
