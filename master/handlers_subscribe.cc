// MasterService: clients that are told what changed.
#include "master/master_service.h"
#include "master/metrics.h"
#include "master/wire.h"

namespace hearth::master {

MasterService::Answer MasterService::subscribe(Call call) {
  CO_TRY(request, parse_body<proto::SubscribeRequest>(*call));
  proto::SubscribeReply reply;
  if (subscribers_.subscribe(call->connection()) == Subscribers::Subscribed::anew) {
    reply.set_is_new(true);
    parts_.metadata.listen_for_news(Listening::on);
  } else {
    subscribers_.acknowledge(call->connection(), request.acknowledged());
  }
  co_return reply_with(reply);
}

void MasterService::lost_connection(ConnectionId connection) {
  subscribers_.remove(connection);
  if (subscribers_.size() == 0) parts_.metadata.listen_for_news(Listening::off);
}

void MasterService::send_notice(std::span<const ConnectionId> to, const Notice& notice) {
  const bool everything = notice.scope == Notice::Scope::everything;
  proto::ChangedNotice body;
  body.set_sequence(notice.sequence);
  body.set_everything(everything);
  for (const NameNews& news : notice.news) {
    proto::ChangedNotice::Path& path = *body.add_paths();
    path.set_path(news.path);
    path.set_gone(news.state == NameNews::State::gone);
    path.set_tree(news.reach == NameNews::Reach::tree);
  }
  const std::string encoded = body.SerializeAsString();
  for (const ConnectionId connection : to) server_->notify(connection, Method::changed, encoded);
  metrics().counter(notices_total, {everything ? "everything" : "paths"}).add(to.size());
}

Task<> MasterService::tell(std::vector<NameNews> news, ConnectionId author) {
  const std::shared_ptr<Told> told = subscribers_.publish(news, author);
  if (told->everywhere->landed()) co_return ok();
  const TimePoint began = parts_.clock.now();
  const Deadline deadline = Deadline::after(parts_.clock, options_.push_timeout);
  const Status waited = co_await board_.wait(told->everywhere, deadline, "telling clients of a change");
  metrics().histogram(push_seconds).observe(parts_.clock.now() - began);
  if (waited.code() != Code::deadline_exceeded) co_return ok();  // also when the author gave up: others had no time yet
  metrics().counter(subscribers_lagged_total).add();
  subscribers_.give_up(told);
  co_return ok();
}

}  // namespace hearth::master
