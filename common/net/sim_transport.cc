#include "common/net/sim_transport.h"

#include "common/net/alarm.h"
#include "common/net/frame.h"
#include "common/net/waiter.h"

#include <boost/asio/this_coro.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

namespace hearth {
namespace {

Error broken(const std::string& peer) {
  return Error(Code::unavailable, "connection with " + peer + " is gone");
}

// The state of one direction between a listener's address and its connectors.
struct Path {
  SimFaults faults;
  std::uint64_t carried = 0;
};

// One direction of one connection.
struct Pipe {
  Pipe(Executor executor, Clock& clock_in, std::shared_ptr<Path> path_in, std::size_t capacity_in)
      : clock(clock_in), path(std::move(path_in)), capacity(capacity_in) {
    arrival = Alarm::make(std::move(executor), clock, [this] { readable.wake(); });
  }
  ~Pipe() { arrival->stop(); }

  struct Segment {
    std::string bytes;
    std::size_t taken = 0;
    TimePoint arrives;
    std::vector<UniqueFd> fds;
  };

  bool full() const { return held >= capacity; }
  std::size_t accept(std::span<const std::byte> bytes, std::vector<UniqueFd> fds);
  std::size_t deliver(std::span<std::byte> into, std::vector<UniqueFd>& fds);
  bool has_arrived() {
    if (path->faults.stall || segments.empty()) return false;
    if (segments.front().arrives <= clock.now()) return true;
    arrival->ring_by(segments.front().arrives);
    return false;
  }
  void close() {
    closed = true;
    readable.wake();
    writable.wake();
  }

  Clock& clock;
  std::shared_ptr<Path> path;
  std::size_t capacity;
  std::deque<Segment> segments;
  std::size_t held = 0;
  std::uint64_t offset = 0;  // bytes accepted so far
  bool closed = false;       // the writer's end: what was accepted is still delivered
  bool dropped = false;      // broken: nothing more is delivered
  Waiter readable;
  Waiter writable;
  std::shared_ptr<Alarm> arrival;
};

std::size_t Pipe::accept(std::span<const std::byte> bytes, std::vector<UniqueFd> fds) {
  const SimFaults& faults = path->faults;
  std::size_t count = std::min(bytes.size(), capacity - held);
  if (faults.drop_after_bytes) {
    const std::uint64_t left = *faults.drop_after_bytes > offset ? *faults.drop_after_bytes - offset : 0;
    count = static_cast<std::size_t>(std::min<std::uint64_t>(count, left));
  }
  Segment segment{.bytes = std::string(reinterpret_cast<const char*>(bytes.data()), count),
                  .arrives = clock.now() + faults.delay,
                  .fds = std::move(fds)};
  if (faults.flip_at_byte && *faults.flip_at_byte >= offset && *faults.flip_at_byte < offset + count) {
    segment.bytes[*faults.flip_at_byte - offset] ^= 1;
  }
  offset += count;
  if (faults.cut || count == 0) return count;
  held += count;
  segments.push_back(std::move(segment));
  readable.wake();
  return count;
}

std::size_t Pipe::deliver(std::span<std::byte> into, std::vector<UniqueFd>& fds) {
  std::size_t count = 0;
  const std::size_t limit = std::min(into.size(), path->faults.max_read_bytes);
  while (count < limit && has_arrived()) {
    Segment& segment = segments.front();
    // Like the kernel: a read ends with the piece that brought descriptors.
    const bool brings_fds = !segment.fds.empty();
    if (brings_fds && !fds.empty()) break;
    std::ranges::move(segment.fds, std::back_inserter(fds));
    segment.fds.clear();
    const std::size_t piece = std::min(limit - count, segment.bytes.size() - segment.taken);
    std::memcpy(into.data() + count, segment.bytes.data() + segment.taken, piece);
    segment.taken += piece;
    count += piece;
    if (segment.taken == segment.bytes.size()) segments.pop_front();
    if (brings_fds) break;
  }
  held -= count;
  path->carried += count;
  if (count > 0) writable.wake();
  return count;
}

// Both directions of a connection; shared by its two ends.
struct Connection {
  std::shared_ptr<Pipe> to_listener;
  std::shared_ptr<Pipe> to_connector;

  void drop() {
    for (const auto& pipe : {to_listener, to_connector}) {
      pipe->dropped = true;
      pipe->close();
    }
  }
};

class SimStream final : public Stream {
 public:
  SimStream(std::shared_ptr<Connection> connection, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out,
            PeerIdentity peer)
      : connection_(std::move(connection)), in_(std::move(in)), out_(std::move(out)), peer_(std::move(peer)) {}
  ~SimStream() override { close(); }

  Task<std::size_t> read_some(std::span<std::byte> into, std::vector<UniqueFd>& fds) override {
    bool woken = false;
    for (;;) {
      if (closed_ || in_->dropped) co_return broken(peer_.address);
      const std::size_t count = in_->deliver(into, fds);
      if (count > 0) co_return count;
      if (in_->closed && in_->segments.empty()) co_return std::size_t{0};
      const auto state = co_await asio::this_coro::cancellation_state;
      if (woken && state.cancelled() != asio::cancellation_type::none) {
        co_return Error(Code::cancelled, "reading from " + peer_.address + " was cancelled");
      }
      co_await in_->readable.wait();
      woken = true;
    }
  }

  Task<> write_all(std::vector<std::span<const std::byte>> parts, std::vector<int> fds) override {
    std::vector<UniqueFd> travelling;
    for (const int fd : fds) travelling.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    for (std::span<const std::byte> part : parts) {
      while (!part.empty()) {
        if (closed_ || out_->closed) co_return broken(peer_.address);
        if (out_->full()) {
          co_await out_->writable.wait();
          continue;
        }
        const std::size_t count = out_->accept(part, std::exchange(travelling, {}));
        part = part.subspan(count);
        if (count == 0) connection_->drop();
      }
    }
    const auto& limit = out_->path->faults.drop_after_bytes;
    if (limit && out_->offset >= *limit) out_->close();
    co_return ok();
  }

  void close() override {
    if (std::exchange(closed_, true)) return;
    out_->close();
    in_->dropped = true;
    in_->close();
  }
  PeerIdentity peer() const override { return peer_; }

 private:
  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  PeerIdentity peer_;
  bool closed_ = false;
};

PeerIdentity identity(const Address& address) {
  PeerIdentity peer;
  peer.address = address.to_string();
  if (address.kind != Address::Kind::unix_socket) return peer;
  peer.is_local = true;
  peer.uid = ::getuid();
  peer.gid = ::getgid();
  peer.pid = ::getpid();
  return peer;
}

// What connectors and the listener of one address share.
struct Place {
  Address address;
  bool listening = false;
  bool reachable = true;
  bool full = false;
  std::shared_ptr<Path> to_listener = std::make_shared<Path>();
  std::shared_ptr<Path> to_connector = std::make_shared<Path>();
  std::deque<std::unique_ptr<Stream>> arrived;
  std::vector<std::weak_ptr<Connection>> connections;
  Waiter acceptable;
};

class SimListener final : public Listener {
 public:
  explicit SimListener(std::shared_ptr<Place> place) : place_(std::move(place)) {}
  ~SimListener() override { close(); }

  Task<std::unique_ptr<Stream>> accept() override {
    bool woken = false;
    while (!closed_) {
      if (!place_->arrived.empty()) {
        auto stream = std::move(place_->arrived.front());
        place_->arrived.pop_front();
        co_return std::move(stream);
      }
      const auto state = co_await asio::this_coro::cancellation_state;
      if (woken && state.cancelled() != asio::cancellation_type::none) break;
      co_await place_->acceptable.wait();
      woken = true;
    }
    co_return Error(closed_ ? Code::unavailable : Code::cancelled,
                    "no longer listening on " + place_->address.to_string());
  }
  Address bound() const override { return place_->address; }
  void close() override {
    if (std::exchange(closed_, true)) return;
    place_->listening = false;
    place_->arrived.clear();
    place_->acceptable.wake();
  }

 private:
  std::shared_ptr<Place> place_;
  bool closed_ = false;
};

}  // namespace

struct SimTransport::Network {
  Executor executor;
  Clock& clock;
  std::size_t capacity;
  std::map<std::string, std::shared_ptr<Place>> places;
  std::uint16_t last_port = 40000;

  std::shared_ptr<Place> place(const Address& address) {
    auto& entry = places[address.to_string()];
    if (!entry) {
      entry = std::make_shared<Place>();
      entry->address = address;
    }
    return entry;
  }
};

SimTransport::SimTransport(Executor executor, Clock& clock, std::size_t pipe_capacity_bytes)
    : network_(new Network{.executor = std::move(executor), .clock = clock, .capacity = pipe_capacity_bytes}) {}
SimTransport::~SimTransport() = default;

Task<std::unique_ptr<Stream>> SimTransport::connect(Address address, Deadline deadline) {
  const auto network = network_;
  const auto place = network->place(address);
  if (!place->reachable) {
    auto slept = co_await network->clock.sleep_until(deadline.when());
    if (!slept) co_return std::move(slept).error();
    co_return Error(Code::deadline_exceeded, "no answer from " + address.to_string());
  }
  if (place->full)
    co_return Error(Code::unavailable, "cannot reach " + address.to_string() + ": it takes no more connections");
  if (!place->listening)
    co_return Error(Code::unavailable, "cannot reach " + address.to_string() + ": nobody listens there");
  const auto connection = std::make_shared<Connection>();
  connection->to_listener =
      std::make_shared<Pipe>(network->executor, network->clock, place->to_listener, network->capacity);
  connection->to_connector =
      std::make_shared<Pipe>(network->executor, network->clock, place->to_connector, network->capacity);
  place->connections.push_back(connection);
  place->arrived.push_back(
      std::make_unique<SimStream>(connection, connection->to_listener, connection->to_connector, identity(address)));
  place->acceptable.wake();
  std::unique_ptr<Stream> stream =
      std::make_unique<SimStream>(connection, connection->to_connector, connection->to_listener, identity(address));
  co_return std::move(stream);
}

Result<std::unique_ptr<Listener>> SimTransport::listen(const Address& address, std::uint32_t) {
  Address wanted = address;
  if (wanted.kind == Address::Kind::tcp && wanted.port == 0) wanted.port = ++network_->last_port;
  const auto place = network_->place(wanted);
  if (place->listening) {
    return Error(Code::already_exists, "cannot listen on " + wanted.to_string() + ": another listener is there");
  }
  place->listening = true;
  std::unique_ptr<Listener> listener = std::make_unique<SimListener>(place);
  return listener;
}

void SimTransport::set_faults(const Address& address, SimDirection direction, SimFaults faults) {
  const auto place = network_->place(address);
  const auto& path = direction == SimDirection::to_listener ? place->to_listener : place->to_connector;
  path->faults = faults;
  // A healed path delivers what it held back.
  for (const auto& weak : place->connections) {
    const auto connection = weak.lock();
    if (!connection) continue;
    connection->to_listener->readable.wake();
    connection->to_connector->readable.wake();
  }
}

void SimTransport::set_reachable(const Address& address, Reachable reachable) {
  const auto place = network_->place(address);
  place->reachable = reachable != Reachable::no;
  place->full = reachable == Reachable::full;
  if (place->reachable) return;
  for (const auto& weak : place->connections) {
    if (const auto connection = weak.lock()) connection->drop();
  }
  place->connections.clear();
}

std::uint64_t SimTransport::carried_bytes(const Address& address, SimDirection direction) const {
  const auto place = network_->place(address);
  return (direction == SimDirection::to_listener ? place->to_listener : place->to_connector)->carried;
}

}  // namespace hearth
