// What the tests of this folder share: an executor that runs until a task ended, and a pair of ends.
#pragma once

#include "common/clock.h"
#include "common/crc32c.h"
#include "common/net/rpc.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include <gtest/gtest.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace hearth::test {

inline std::span<std::byte> writable_bytes(std::string& text) {
  return std::as_writable_bytes(std::span(text));
}
inline std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// A task that runs beside the test's own steps.
template <class T>
struct Started {
  std::shared_ptr<std::optional<Result<T>>> slot = std::make_shared<std::optional<Result<T>>>();
  bool done() const { return slot->has_value(); }
  Result<T>& result() { return slot->value(); }
};

class Loop {
 public:
  Executor executor() { return context_.get_executor(); }

  template <class T>
  Started<T> start(Task<T> task) {
    Started<T> started;
    auto done = [slot = started.slot](std::exception_ptr exception, Result<T> result) {
      if (exception) result = Error(Code::internal, "exception");
      slot->emplace(std::move(result));
    };
    asio::co_spawn(context_, std::move(task), std::move(done));
    return started;
  }
  // Runs the executor until `done`; with real sockets and timers it waits for them.
  void run_until(const std::function<bool()>& done) {
    while (!done()) {
      context_.restart();
      ASSERT_GT(context_.run_one(), 0U) << "nothing is left that could make this come true";
    }
  }
  template <class T>
  Result<T> run(Task<T> task) {
    auto started = start(std::move(task));
    run_until([&] { return started.done(); });
    return std::move(started.result());
  }
  // One thing that can happen without time passing; false when there is none.
  bool step() {
    context_.restart();
    return context_.poll_one() != 0;
  }
  // Everything that can happen without time passing.
  void settle() {
    context_.restart();
    context_.poll();
  }

 private:
  asio::io_context context_;
};

inline RpcCall call_of(Method method, std::string body, std::span<std::byte> into = {}) {
  RpcCall call;
  call.method = method;
  call.body = std::move(body);
  call.into = into;
  return call;
}

inline Task<ServerReply> echo(std::shared_ptr<ServerCall> call) {
  ServerReply reply;
  reply.body = call->body();
  co_return std::move(reply);
}

}  // namespace hearth::test
