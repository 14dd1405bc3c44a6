// A blocking caller of a master or worker, for tests.
#pragma once

#include "common/io_thread.h"
#include "common/net/rpc.h"

#include <memory>

namespace hearth::master {

class RpcClient {
 public:
  explicit RpcClient(const Address& peer) {
    thread_.start();
    transport_ = make_socket_transport(thread_.executor());
    channel_ = make_rpc_channel(RpcContext{thread_.executor(), *transport_, real_clock(), RpcLimits()}, peer);
  }
  ~RpcClient() {
    const Status closed = thread_.run_sync(close(*channel_));
    (void)closed;
    thread_.stop();
  }

  template <class Reply, class Request>
  Result<Reply> call(Method method, const Request& request, Duration timeout = std::chrono::seconds(20)) {
    RpcCall call;
    call.method = method;
    call.body = request.SerializeAsString();
    const Deadline deadline = Deadline::after(real_clock(), timeout);
    TRY(answer, thread_.run_sync(channel_->call(std::move(call), deadline)));
    Reply reply;
    if (!reply.ParseFromString(answer.body)) return Error(Code::bad_frame, "the reply does not parse");
    return reply;
  }

 private:
  static Task<> close(RpcChannel& channel) {
    channel.close();
    co_return ok();
  }
  IoThread thread_{"test-client"};
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<RpcChannel> channel_;
};

}  // namespace hearth::master
