#include "client/src/subscription.h"

#include "common/log.h"
#include "proto/hearth.pb.h"

#include <algorithm>
#include <utility>

namespace hearth::client {
namespace {

constexpr Duration ask_within = std::chrono::seconds(3);
// A connection that died without a word is noticed by the question whether the subscription goes on.
constexpr Duration renew_every = std::chrono::seconds(5);
constexpr Duration first_pause = std::chrono::milliseconds(20);
constexpr Duration longest_pause = std::chrono::milliseconds(500);

}  // namespace

Subscription::Subscription(Clock& clock, TaskGroup& group, std::shared_ptr<MasterLink> master, Act act)
    : clock_(clock), group_(group), master_(std::move(master)), act_(std::move(act)),
      alarm_(Alarm::make(group.executor(), clock, [this] { awake_.wake(); })) {}

Task<> Subscription::begin(Deadline deadline) {
  master_->on_notice([this](Method method, std::string body) { on_notice(method, body); });
  master_->on_disconnect([this] { on_disconnect(); });
  static_cast<void>(co_await ask(0, deadline));
  co_return group_.spawn(keep(), "subscription");
}

void Subscription::end() {
  ended_ = true;
  alarm_->stop();
  awake_.wake();
}

Task<> Subscription::keep() {
  Duration pause = first_pause;
  while (!ended_) {
    const bool works = state_ != State::none;
    if (works) pause = first_pause;
    const TimePoint next = clock_.now() + (works ? renew_every : pause);
    while (!ended_ && clock_.now() < next && !(works && lost_)) {
      alarm_->ring_by(next);
      co_await awake_.wait();
    }
    if (ended_) break;
    lost_ = false;
    static_cast<void>(co_await ask(0, Deadline::after(clock_, ask_within)));
    if (state_ == State::none) pause = std::min<Duration>(pause * 2, longest_pause);
  }
  co_return ok();
}

Task<> Subscription::ask(std::uint64_t acknowledged, Deadline deadline) {
  proto::SubscribeRequest request;
  request.set_acknowledged(acknowledged);
  proto::SubscribeReply reply;
  std::string body = request.SerializeAsString();
  const Status asked = co_await master_->call(Method::subscribe, std::move(body), &reply, MasterRetry::once, deadline);
  if (ended_) co_return ok();
  if (!asked && asked.code() == Code::unsupported) {
    state_ = State::refused;  // a master of before: what is known is as old as its ttl allows
  } else if (!asked) {
    on_disconnect();
  } else if (std::exchange(state_, State::subscribed) != State::subscribed || reply.is_new()) {
    drop_everything();
  }
  co_return asked;
}

// What is known is served on, for its ttl, until the master can be asked again.
void Subscription::on_disconnect() {
  if (ended_) return;
  lost_ = true;
  state_ = State::none;
  awake_.wake();
}

void Subscription::drop_everything() {
  const ChangeNotice all{.scope = ChangeNotice::Scope::everything, .paths = {}};
  act_(all, [] {});
}

void Subscription::on_notice(Method method, const std::string& body) {
  proto::ChangedNotice told;
  if (ended_ || method != Method::changed || !told.ParseFromString(body)) return;
  ChangeNotice notice;
  if (told.everything()) notice.scope = ChangeNotice::Scope::everything;
  for (const auto& path : told.paths()) {
    ChangeNotice::Path one;
    one.path = path.path();
    if (path.gone()) one.state = ChangeNotice::Path::State::gone;
    if (path.tree()) one.reach = ChangeNotice::Path::Reach::tree;
    notice.paths.push_back(std::move(one));
  }
  act_(notice, [this, sequence = told.sequence()] {
    if (ended_) return;
    const Status spawned = group_.spawn(ask(sequence, Deadline::after(clock_, ask_within)), "acknowledge_changes");
    if (!spawned) log_debug("changes_not_acknowledged", {{"why", spawned.error().message()}});
  });
}

}  // namespace hearth::client
