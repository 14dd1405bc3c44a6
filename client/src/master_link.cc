#include "client/src/master_link.h"

#include "client/src/signal.h"

#include <google/protobuf/message_lite.h>

#include <algorithm>

namespace hearth::client {
namespace {

using std::chrono::milliseconds;
constexpr Duration first_pause = milliseconds(10);
constexpr Duration longest_pause = milliseconds(500);
// A master that does not answer within this is asked again: the connection may be one to a dead host.
constexpr Duration try_for = milliseconds(3000);

bool worth_repeating(Code code) {
  return code == Code::unavailable || code == Code::deadline_exceeded || code == Code::overloaded || code == Code::bad_frame;
}

}  // namespace

MasterLink::MasterLink(RpcContext context, Clock& clock, Address address)
    : clock_(clock), address_(address.to_string()),
      channel_(make_rpc_channel(context, std::move(address))) {}

Task<RpcReply> call_and_decode(std::shared_ptr<RpcChannel> channel, RpcCall call, google::protobuf::MessageLite* reply,
                               Deadline deadline) {
  const Method method = call.method;
  CO_TRY(answer, co_await channel->call(std::move(call), deadline));
  if (reply != nullptr && !reply->ParseFromString(answer.body)) {
    co_return Error(Code::bad_frame, "the answer to " + std::string(name(method)) + " can not be decoded; check the versions of both processes");
  }
  co_return std::move(answer);
}

Task<> MasterLink::call_once(Method method, std::string body, google::protobuf::MessageLite* reply, Deadline deadline) {
  RpcCall call;
  call.method = method;
  call.body = std::move(body);
  auto answer = co_await call_and_decode(channel_, std::move(call), reply, deadline);
  if (answer) co_return ok();
  if (worth_repeating(answer.code())) {
    co_return std::move(answer).error().with_context("asking the master at " + address_);
  }
  co_return std::move(answer).error();
}

Task<> MasterLink::call(Method method, std::string body, google::protobuf::MessageLite* reply, MasterRetry retry,
                        Deadline deadline) {
  Duration pause = first_pause;
  for (;;) {
    CO_CHECK_OK(co_await still_wanted());
    Deadline attempt = deadline;
    if (retry == MasterRetry::until_deadline) attempt = deadline.sooner_of(Deadline::after(clock_, try_for));
    std::string copy = body;
    Status status = co_await call_once(method, std::move(copy), reply, attempt);
    if (status || retry == MasterRetry::once || !worth_repeating(status.code())) co_return status;
    if (deadline.expired(clock_.now() + pause)) co_return status;
    CO_CHECK_OK(co_await clock_.sleep_for(pause));
    pause = std::min<Duration>(pause * 2, longest_pause);
  }
}

}  // namespace hearth::client
