// The worker's side of the membership: register, heartbeat, report what is held, learn the attachments
// and the policy.
//
// It never gives up: while the master is away it tries again with growing, jittered pauses, and the worker goes on
// serving. A change of presence is reported `report_coalesce` after it happened.
//
// Threads: confined to the data thread.
// Owns:    the channel to the master, the report still owed.
#pragma once

#include "common/async.h"
#include "common/clock.h"
#include "common/net/rpc.h"
#include "common/rng.h"
#include "common/task_group.h"
#include "tiering/block_store.h"
#include "tiering/policy/policy.h"
#include "worker/attachments.h"
#include "worker/metrics.h"
#include "worker/report.h"
#include "worker/wait.h"
#include "worker/worker_options.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace hearth::proto {
class WorkerInfo;
class RegisterWorkerReply;
class HeartbeatReply;
}

namespace hearth::worker {

// What the link tells the master about this worker.
struct LinkSource {
  std::function<void(proto::WorkerInfo&)> describe;
  std::function<PresenceChanges()> take_changes;
  std::function<std::vector<BlockId>()> all_blocks;
  std::function<void(std::shared_ptr<const policy::Policy>)> policy_changed;  // shared: decisions under way keep theirs
};

class MasterLink {
 public:
  MasterLink(const WorkerOptions& options, WorkerId id, std::unique_ptr<RpcChannel> channel, LinkSource source,
             WorkerAttachments& attachments, TaskGroup& tasks, Clock& clock, Rng& rng, WorkerCounters& counters);

  void start();
  // Something became present or absent in the block store, perhaps.
  void note_changes();
  // One heartbeat now, and the attachments that come with its answer. unavailable: the master does not answer.
  Task<> refresh_attachments(Deadline deadline);
  // Tells the master that this worker takes no new work; ok also when the master is away.
  Task<> announce_draining(Deadline deadline);
  // Ends the heartbeats and, if the master listens, the registration.
  Task<> stop(Deadline deadline);

  // Which policy this worker runs, and why not the master's.
  void describe_policy(proto::WorkerInfo& info) const;

  bool registered() const { return registered_; }
  bool draining() const { return draining_; }
  WorkerId id() const { return id_; }

 private:
  struct Refresh;
  enum class FullPage : std::uint8_t { none, first_or_middle, last };

  Task<> run();
  Task<> register_here();
  Task<> heartbeats();       // until the registration is no longer valid
  Task<> heartbeat();
  Task<> pause(Duration duration);  // or until something is to be said
  Task<> pause_for_news();
  Task<std::string> call(Method method, std::string body);
  Task<> learn_policy();  // of the master, when it is another one than was last asked for
  void learn(const proto::RegisterWorkerReply& reply);
  void learn(const proto::HeartbeatReply& reply);
  void set_registered(bool now_registered, const std::string& why);
  void collect_changes();
  Duration next_backoff();
  void poke();

  // Set once
  const WorkerOptions& options_;
  WorkerId id_;
  std::unique_ptr<RpcChannel> channel_;
  LinkSource source_;
  WorkerAttachments& attachments_;
  TaskGroup& tasks_;
  Clock& clock_;
  Rng& rng_;
  WorkerCounters& counters_;

  // Data thread only
  Duration call_timeout_;
  PresenceReport report_;
  std::shared_ptr<Event> news_;     // ends a pause
  std::shared_ptr<Event> ended_;    // run() is over
  std::shared_ptr<Refresh> refresh_;  // shared with those who wait for the next heartbeat
  std::uint64_t epoch_ = 0;
  Duration interval_ = std::chrono::seconds(1);
  Duration backoff_ = Duration::zero();
  TimePoint heartbeat_due_{};
  TimePoint report_due_ = TimePoint::max();
  FullPage full_page_sent_ = FullPage::none;
  bool full_wanted_later_ = false;
  std::uint64_t policy_wanted_ = 0;   // in force, as the master said last
  std::uint64_t policy_seen_ = 0;     // whose text was got last, good or not
  std::uint64_t policy_version_ = 0;  // that this worker runs; 0: the built-in defaults
  std::string policy_problem_;        // of the one seen last; "" when it is the one that runs
  bool registered_ = false;
  bool draining_ = false;
  bool stopping_ = false;
};

}  // namespace hearth::worker
