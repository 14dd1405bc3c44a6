#include "master/subscribers.h"

#include <algorithm>
#include <utility>

namespace hearth::master {

Subscribers::Subscribed Subscribers::subscribe(ConnectionId connection) {
  return subscribers_.try_emplace(connection).second ? Subscribed::anew : Subscribed::already;
}

void Subscribers::settle(std::vector<std::shared_ptr<Told>>& owed) {
  for (const std::shared_ptr<Told>& told : std::exchange(owed, {})) {
    if (--told->owed == 0) told->everywhere->land(ok());
  }
}

void Subscribers::forget_gathered(Subscriber& subscriber) {
  subscriber.gathered.clear();
  subscriber.gathered_bytes = 0;
  subscriber.gathered_scope = Notice::Scope::paths;
}

void Subscribers::gather(Subscriber& subscriber, const std::vector<NameNews>& news, IfFull if_full) {
  for (const NameNews& one : news) {
    if (subscriber.gathered_scope == Notice::Scope::everything) return;
    auto [known, is_new] = subscriber.gathered.try_emplace(one.path, one);
    if (!is_new) {
      known->second.state = one.state;
      if (one.reach == NameNews::Reach::tree) known->second.reach = one.reach;
      continue;
    }
    subscriber.gathered_bytes += one.path.size();
    if (subscriber.gathered.size() <= limits_.most_paths && subscriber.gathered_bytes <= limits_.most_bytes) continue;
    if (if_full == IfFull::leave_out) {
      subscriber.gathered_bytes -= one.path.size();
      subscriber.gathered.erase(known);
      return;
    }
    forget_gathered(subscriber);
    subscriber.gathered_scope = Notice::Scope::everything;
  }
}

void Subscribers::send_gathered(ConnectionId connection, Subscriber& subscriber) {
  if (!subscriber.has_gathered()) return;
  Notice notice{.sequence = ++last_sequence_, .scope = subscriber.gathered_scope, .news = {}};
  for (auto& [path, news] : subscriber.gathered) notice.news.push_back(std::move(news));
  forget_gathered(subscriber);
  subscriber.on_its_way = notice.sequence;
  subscriber.owed = std::exchange(subscriber.owed_next, {});
  send_(std::span(&connection, 1), notice);
}

std::shared_ptr<Told> Subscribers::publish(const std::vector<NameNews>& news, ConnectionId author) {
  auto told = std::make_shared<Told>();
  Notice notice{.sequence = 0, .scope = Notice::Scope::paths, .news = news};
  std::vector<ConnectionId> at_once;
  for (auto& [connection, subscriber] : subscribers_) {
    if (connection == author) continue;
    if (subscriber.state == Subscriber::State::lagging) continue;  // will be told to drop everything
    const bool waited_for = subscriber.state == Subscriber::State::current;
    if (subscriber.on_its_way == 0 && !news.empty()) {
      if (notice.sequence == 0) notice.sequence = ++last_sequence_;
      subscriber.on_its_way = notice.sequence;
      subscriber.owed.push_back(told);
      ++told->owed;
      at_once.push_back(connection);
      continue;
    }
    gather(subscriber, news, IfFull::drop_everything);
    if (!waited_for || subscriber.on_its_way == 0) continue;
    (subscriber.has_gathered() ? subscriber.owed_next : subscriber.owed).push_back(told);
    ++told->owed;
  }
  if (!at_once.empty()) send_(at_once, notice);
  if (told->owed == 0) told->everywhere->land(ok());
  return told;
}

void Subscribers::mention(const std::vector<NameNews>& news) {
  for (auto next = subscribers_.begin(); next != subscribers_.end();) {
    auto& [connection, subscriber] = *next++;  // sending may end the connection
    if (subscriber.state == Subscriber::State::lagging) continue;
    gather(subscriber, news, IfFull::leave_out);
    if (subscriber.on_its_way == 0) send_gathered(connection, subscriber);
  }
}

void Subscribers::acknowledge(ConnectionId connection, std::uint64_t sequence) {
  const auto found = subscribers_.find(connection);
  if (found == subscribers_.end() || sequence == 0 || found->second.on_its_way != sequence) return;
  Subscriber& subscriber = found->second;
  subscriber.on_its_way = 0;
  if (subscriber.state == Subscriber::State::lagging) {
    subscriber.state = Subscriber::State::catching_up;
    subscriber.gathered_scope = Notice::Scope::everything;
  } else if (subscriber.state == Subscriber::State::catching_up) {
    subscriber.state = Subscriber::State::current;
  }
  settle(subscriber.owed);
  send_gathered(connection, subscriber);
}

void Subscribers::remove(ConnectionId connection) {
  auto gone = subscribers_.extract(connection);
  if (gone.empty()) return;
  settle(gone.mapped().owed);
  settle(gone.mapped().owed_next);
}

void Subscribers::give_up(const std::shared_ptr<Told>& told) {
  for (auto& [connection, subscriber] : subscribers_) {
    const auto owes = [&told](const std::vector<std::shared_ptr<Told>>& owed) {
      return std::find(owed.begin(), owed.end(), told) != owed.end();
    };
    if (!owes(subscriber.owed) && !owes(subscriber.owed_next)) continue;
    subscriber.state = Subscriber::State::lagging;
    forget_gathered(subscriber);
    settle(subscriber.owed);
    settle(subscriber.owed_next);
  }
}

std::size_t Subscribers::lagging() const {
  return static_cast<std::size_t>(std::count_if(subscribers_.begin(), subscribers_.end(), [](const auto& one) {
    return one.second.state != Subscriber::State::current;
  }));
}

}  // namespace hearth::master
