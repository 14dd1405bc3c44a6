// Keeps this client told of what changes: subscribes at the master, hands its notices on, acknowledges them.
//
// Threads: confined to the io thread.
// Owns:    one task, until end().
// Promise: whoever may have missed a notice (another connection, another run of the master) acts as if everything had changed,
//          when it is subscribed again; until then what is known is as old as its ttl allows.
#pragma once

#include "client/src/master_link.h"
#include "common/clock.h"
#include "common/net/alarm.h"
#include "common/net/waiter.h"
#include "common/task_group.h"

#include <hearth/change_notice.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hearth::client {

class Subscription {
 public:
  // Drops what is known of what the notice names, then calls `done` on the io thread.
  using Act = std::function<void(const ChangeNotice& notice, std::function<void()> done)>;
  Subscription(Clock& clock, TaskGroup& group, std::shared_ptr<MasterLink> master, Act act);

  // Ends when the master took the subscription, or could not be asked: then it is tried again from here on.
  Task<> begin(Deadline deadline);
  void end();

 private:
  Task<> keep();
  Task<> ask(std::uint64_t acknowledged, Deadline deadline);
  void on_notice(Method method, const std::string& body);
  void on_disconnect();
  void drop_everything();

  Clock& clock_;
  TaskGroup& group_;
  std::shared_ptr<MasterLink> master_;
  const Act act_;
  enum class State : std::uint8_t { none, subscribed, refused } state_ = State::none;
  bool lost_ = false;
  bool ended_ = false;
  std::shared_ptr<Alarm> alarm_;
  Waiter awake_;
};

}  // namespace hearth::client
