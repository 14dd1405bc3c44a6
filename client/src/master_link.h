// Calls to the master: encode, call, decode; reads are asked again until the deadline.
//
// Threads: confined to the io thread.
// Fails:   what the master answered, and unavailable with the master's address when it could not be asked.
#pragma once

#include "common/net/rpc.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace google::protobuf {
class MessageLite;
}

namespace hearth::client {

// once: one try (mutations, and what must not wait); until_deadline: survives a restart of the master.
enum class MasterRetry : std::uint8_t { once, until_deadline };

class MasterLink {
 public:
  MasterLink(RpcContext context, Clock& clock, Address address);

  // `reply` lives in the caller's coroutine frame until this ends.
  Task<> call(Method method, std::string body, google::protobuf::MessageLite* reply, MasterRetry retry, Deadline deadline);
  void on_notice(NoticeHandler handler) { channel_->on_notice(std::move(handler)); }
  void on_disconnect(std::function<void()> handler) { channel_->on_disconnect(std::move(handler)); }
  void close() { channel_->close(); }
  const std::string& address() const { return address_; }

 private:
  Task<> call_once(Method method, std::string body, google::protobuf::MessageLite* reply, Deadline deadline);

  Clock& clock_;
  std::string address_;
  std::shared_ptr<RpcChannel> channel_;  // shared: calls in flight keep it
};

// Sends a call on `channel` and decodes the reply into `reply`.
Task<RpcReply> call_and_decode(std::shared_ptr<RpcChannel> channel, RpcCall call, google::protobuf::MessageLite* reply,
                               Deadline deadline);

}  // namespace hearth::client
