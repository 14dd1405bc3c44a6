// The calls of clients and workers, answered from the metadata service, the worker table and the block map.
//
// Threads: confined to the network executor, where membership and locations live too; everything about
//          names runs on the namespace executor and comes back.
// Owns:    membership, channels to workers (for free), its background tasks. await stop() before destruction.
#pragma once

#include "common/net/rpc.h"
#include "common/task_group.h"
#include "master/lock_service.h"
#include "master/membership.h"
#include "master/metadata_service.h"
#include "master/subscribers.h"

#include <map>
#include <memory>
#include <string>

namespace hearth::proto {
class ResolveReply;
}

namespace hearth::master {

struct ServiceOptions {
  std::string version;
  bool trust_tcp_callers = false;  // see check_speaks_for()
  Duration heartbeat_interval = std::chrono::seconds(1);
  Duration lost_after = std::chrono::seconds(5);
  Duration default_metadata_ttl = std::chrono::seconds(1);
  LockOptions locks;
  Duration push_timeout = std::chrono::milliseconds(200);  // that a change waits for subscribers to know it
};

struct MasterSnapshot {
  std::string version;
  std::int64_t started_at_ns = 0;
  std::uint64_t cluster_id = 0;
  std::uint64_t inode_count = 0;
  std::uint64_t block_location_count = 0;
  std::uint64_t attachment_count = 0;
  std::uint64_t live_workers = 0;      // draining ones included
  std::uint64_t lost_workers = 0;
};

class MasterService {
 public:
  struct Parts {
    Executor network;
    Executor names;
    Clock& clock;
    Transport& transport;
    MetadataService& metadata;
  };
  MasterService(Parts parts, ServiceOptions options);

  // Registers every method of the master.
  void serve(RpcServer& server);
  // Loss detection, clean-up and gauges, until stop().
  Status start();
  Task<> stop(Deadline deadline);
  // Calls that wait for a lock end now: for a server that stops.
  void end_waits() { locks_.end_waits(); }
  Task<MasterSnapshot> snapshot();

 private:
  using Call = std::shared_ptr<ServerCall>;
  using Answer = Task<ServerReply>;
  using Operation = Answer (MasterService::*)(Call);

  void add(RpcServer& server, Method method, Operation operation);
  Answer timed(Call call, Operation operation);

  // handlers_clients.cc
  Answer stat(Call call);
  Answer list(Call call);
  Answer resolve(Call call);
  Answer locate(Call call);
  Answer workers(Call call);
  Answer attach(Call call);
  Answer detach(Call call);
  Answer attachments(Call call);
  Answer bad_location(Call call);
  Answer master_status(Call call);
  void put_resolved(ResolvedView& found, const std::string& tenant, proto::ResolveReply& reply) const;
  // handlers_many.cc
  Answer stat_many(Call call);
  Answer resolve_many(Call call);
  struct Many;  // one message of many names, as far as it got
  Task<> run_lanes(std::shared_ptr<Many> many);
  Task<> run_lane(std::shared_ptr<Many> many);
  Task<> answer_many(std::shared_ptr<Many> many);  // on the namespace executor
  // handlers_changes.cc
  Answer change(Call call);
  // Peers of the Unix socket are known (SO_PEERCRED): root speaks for everybody, others for themselves. Of a TCP peer nothing
  // is known but what it says.
  Status check_speaks_for(const ServerCall& call, const Caller& caller) const;
  Answer remove_tree(Call call);
  Answer xattr(Call call);
  // handlers_space.cc
  Answer space(Call call);
  // handlers_locks.cc
  Answer lock(Call call);
  // handlers_subscribe.cc
  Answer subscribe(Call call);
  void send_notice(std::span<const ConnectionId> to, const Notice& notice);
  void lost_connection(ConnectionId connection);
  // Ends when every subscriber but the author knows, or is not waited for any more.
  Task<> tell(std::vector<NameNews> news, ConnectionId author);
  // handlers_policy.cc
  Answer policy_get(Call call);
  Answer policy_list(Call call);
  Answer policy_apply(Call call);
  Answer policy_rollback(Call call);
  // handlers_workers.cc
  Answer register_worker(Call call);
  Answer heartbeat(Call call);
  Answer deregister_worker(Call call);
  // handlers_free.cc
  Answer free_path(Call call);
  struct Freed {
    std::uint64_t blocks = 0;
    std::uint64_t bytes = 0;
  };
  // One call of free_path, as far as it got.
  struct Freeing {
    explicit Freeing(Deadline until) : deadline(until) {}
    Deadline deadline;
    Freed total;
    std::map<WorkerId, std::string> silent;  // who did not answer, and why; not asked again
    Code code = Code::unavailable;                  // of the last of them
  };
  Task<> free_files(std::vector<ResolvedView> files, std::shared_ptr<Freeing> freeing);
  Task<> free_blocks(std::vector<BlockId> ids, std::shared_ptr<Freeing> freeing);
  Task<> run_free(std::shared_ptr<RpcChannel> channel, std::string block_ids, Deadline deadline,
                  std::shared_ptr<Flight<Freed>> flight);
  Task<Freed> free_at_worker(std::shared_ptr<RpcChannel> channel, std::string block_ids, Deadline deadline);
  static Error not_all_freed(const Freeing& freeing);
  std::shared_ptr<RpcChannel> channel_to(WorkerId worker, const std::string& address);

  Task<> watch();
  void set_gauges();

  // Set once
  Parts parts_;
  ServiceOptions options_;
  std::int64_t started_at_ns_;

  // Network executor only
  TaskGroup tasks_;
  WaitBoard board_;
  Membership membership_;
  LockService locks_;
  AttachmentsView attachments_;
  std::uint64_t policy_version_ = 0;  // in force; 0: none
  Subscribers subscribers_;
  RpcServer* server_ = nullptr;  // that serve() was called with
  struct Line {
    std::string address;
    std::shared_ptr<RpcChannel> channel;  // shared with the calls in flight
  };
  std::map<WorkerId, Line> lines_;
};

}  // namespace hearth::master
