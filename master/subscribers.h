// The clients that are told of changes, and what each of them still has to be told.
//
// One notice is on its way to a subscriber at a time. What changes meanwhile is gathered, one entry per path, and goes
// as one notice when that was acknowledged. A subscriber that somebody waited for in vain is *lagging*: nobody waits for it
// any more, and when it acknowledges it is told to drop everything, after which it is one like the others.
//
// Threads: confined to one executor; nothing here waits or sends.
// Bounds:  `most_paths` and `most_bytes` gathered per subscriber. More of what somebody waits for becomes "everything"; more
//          of what was merely learned is left out, and seen when its ttl runs out.
#pragma once

#include "common/net/rpc.h"
#include "master/flight.h"
#include "master/views.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hearth::master {

struct Notice {
  std::uint64_t sequence = 0;
  enum class Scope : std::uint8_t { paths, everything } scope = Scope::paths;
  std::vector<NameNews> news;
};

// A change that somebody wants to be known everywhere.
struct Told {
  std::size_t owed = 0;  // subscribers that did not acknowledge it yet
  std::shared_ptr<Flight<>> everywhere = std::make_shared<Flight<>>(Moment());  // shared with who waits
};

class Subscribers {
 public:
  struct Limits {
    std::size_t most_paths = 4096;
    std::size_t most_bytes = 1U << 20;
  };
  // Sends one notice to each of these.
  using Send = std::function<void(std::span<const ConnectionId> to, const Notice& notice)>;
  explicit Subscribers(Send send) : Subscribers(std::move(send), Limits()) {}
  Subscribers(Send send, Limits limits) : send_(std::move(send)), limits_(limits) {}

  enum class Subscribed : std::uint8_t { anew, already };
  Subscribed subscribe(ConnectionId connection);
  void acknowledge(ConnectionId connection, std::uint64_t sequence);
  void remove(ConnectionId connection);

  // Tells everybody but `author`. Lands when all of them know this and what was published before; without news, that alone.
  std::shared_ptr<Told> publish(const std::vector<NameNews>& news, ConnectionId author);
  // Tells everybody, and nobody waits.
  void mention(const std::vector<NameNews>& news);
  // Whoever waited for `told` does not any more: subscribers that still owe it are lagging.
  void give_up(const std::shared_ptr<Told>& told);

  std::size_t size() const { return subscribers_.size(); }
  std::size_t lagging() const;

 private:
  struct Subscriber {
    std::uint64_t on_its_way = 0;  // sequence; 0: nothing
    enum class State : std::uint8_t { current, lagging, catching_up } state = State::current;  // catching up: told to drop everything
    Notice::Scope gathered_scope = Notice::Scope::paths;
    std::map<std::string, NameNews> gathered;
    std::size_t gathered_bytes = 0;
    std::vector<std::shared_ptr<Told>> owed;       // by the notice on its way
    std::vector<std::shared_ptr<Told>> owed_next;  // by what is gathered
    bool has_gathered() const { return !gathered.empty() || gathered_scope == Notice::Scope::everything; }
  };
  enum class IfFull : std::uint8_t { drop_everything, leave_out };

  void gather(Subscriber& subscriber, const std::vector<NameNews>& news, IfFull if_full);
  void forget_gathered(Subscriber& subscriber);
  void send_gathered(ConnectionId connection, Subscriber& subscriber);
  static void settle(std::vector<std::shared_ptr<Told>>& owed);

  // Set once
  Send send_;
  Limits limits_;
  // Executor only
  std::map<ConnectionId, Subscriber> subscribers_;
  std::uint64_t last_sequence_ = 0;
};

}  // namespace hearth::master
