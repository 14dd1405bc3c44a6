// An in-process Transport for tests: named addresses, byte pipes with faults, time by the given clock.
//
// Deterministic: everything happens on one executor, in an order that depends on nothing but the
// calls made; with a ManualClock a test owns the time as well.
//
// Threads: confined to the executor.
// Owns:    the pipes, shared with the streams; descriptors in flight (duplicates).
// Fails:   like sockets: unavailable (nobody listens, closed, dropped), already_exists (address taken).
#pragma once

#include "common/net/stream.h"

#include <functional>
#include <memory>
#include <optional>

namespace hearth {

// What the network does to bytes on their way in one direction of every connection to an address, present
// and future. Default: nothing.
struct SimFaults {
  // The connection breaks, in both directions, when this many bytes were carried this way.
  std::optional<std::uint64_t> drop_after_bytes;
  // Bytes are accepted and never arrive: a cut cable, or a frozen process whose kernel still acknowledges.
  bool cut = false;
  // Bytes are held back; when the pipe is full the writer waits: a reader that does not read.
  bool stall = false;
  // Bytes arrive this much later.
  Duration delay = Duration::zero();
  // A read gets at most this many bytes: 1 splits every frame at every boundary.
  std::size_t max_read_bytes = SIZE_MAX;
  // Flips the lowest bit of the byte at this position of the direction's stream.
  std::optional<std::uint64_t> flip_at_byte;
};

enum class SimDirection : std::uint8_t { to_listener, to_connector };

class SimTransport final : public Transport {
 public:
  SimTransport(Executor executor, Clock& clock, std::size_t pipe_capacity_bytes = 256U << 10);
  ~SimTransport() override;

  Task<std::unique_ptr<Stream>> connect(Address address, Deadline deadline) override;
  Result<std::unique_ptr<Listener>> listen(const Address& address, std::uint32_t socket_mode) override;

  void set_faults(const Address& address, SimDirection direction, SimFaults faults);
  // no: from now on nobody can connect, and what is connected breaks. full: new connections are refused, the others
  // go on. yes: as before.
  enum class Reachable : std::uint8_t { no, full, yes };
  void set_reachable(const Address& address, Reachable reachable);
  // Bytes that arrived in one direction, over all connections to the address.
  std::uint64_t carried_bytes(const Address& address, SimDirection direction) const;

 private:
  struct Network;
  std::shared_ptr<Network> network_;  // shared with its listeners and streams
};

}  // namespace hearth
