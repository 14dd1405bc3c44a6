// A bound on how many questions one under-store is asked at once, so that one that hangs in the kernel never takes
// all threads of the pool that the others need too.
//
// Threads: confined to the namespace executor, like everything made here.
// Owns:    the turns; a Turn keeps its gate alive. First come, first served; at most max_waiting_questions wait.
// Fails:   enter(): deadline_exceeded when those before did not end in time; overloaded when too many wait.
#pragma once

#include "master/flight.h"
#include "understore/under_store.h"

#include <cstddef>
#include <deque>
#include <memory>
#include <string>

namespace hearth::master {

inline constexpr std::size_t max_waiting_questions = 4096;

class StoreGate : public std::enable_shared_from_this<StoreGate> {
 public:
  // The right to ask, until destroyed.
  class Turn {
   public:
    Turn() = default;
    explicit Turn(std::shared_ptr<StoreGate> gate) : gate_(std::move(gate)) {}
    Turn(Turn&& other) noexcept = default;
    Turn& operator=(Turn&& other) noexcept;
    ~Turn();

   private:
    std::shared_ptr<StoreGate> gate_;  // shared: questions end after their attachment is gone
  };

  StoreGate(WaitBoard& board, std::size_t at_once, std::string uri)
      : board_(board), at_once_(at_once), uri_(std::move(uri)) {}
  static Task<Turn> enter(std::shared_ptr<StoreGate> gate, Deadline deadline);

 private:
  void leave();

  // Set once
  WaitBoard& board_;
  const std::size_t at_once_;
  const std::string uri_;

  std::size_t running_ = 0;
  std::deque<std::shared_ptr<Flight<Turn>>> waiting_;
};

// `store`, each of whose calls takes a turn first.
std::shared_ptr<UnderStore> behind_gate(std::shared_ptr<UnderStore> store, std::shared_ptr<StoreGate> gate);

}  // namespace hearth::master
