// One client: its io thread, its peers, its caches. The fast ways run on the caller's thread, all else on the io thread.
//
// Threads: public methods from any, tasks on the io thread (those say Task<>).
// Owns:    every part. Users' tasks keep it alive; its own background tasks are waited for by the destructor.
// Fork:    a child has no io thread, and locks there may be held for ever by threads it does not have. So every call
//          fails before it takes one (usable()), and the destructor only forgets.
#pragma once

#include <hearth/client.h>

#include "client/src/batch_reader.h"
#include "client/src/counters.h"
#include "client/src/ender.h"
#include "client/src/grant_cache.h"
#include "client/src/grant_keeper.h"
#include "client/src/lock_keeper.h"
#include "client/src/master_link.h"
#include "client/src/packed_places.h"
#include "client/src/peers.h"
#include "client/src/read_engine.h"
#include "client/src/resolver.h"
#include "client/src/store_reader.h"
#include "client/src/subscription.h"
#include "common/async.h"
#include "common/clock.h"
#include "common/fd.h"
#include "common/fork.h"
#include "common/io_thread.h"
#include "common/net/rpc.h"
#include "common/task_group.h"

#include <boost/asio/post.hpp>

#include <functional>
#include <memory>
#include <semaphore>

namespace hearth::proto {
class ChangeReply;
class ChangeRequest;
}

namespace hearth {

class ClientImpl : public std::enable_shared_from_this<ClientImpl> {
 public:
  // The deleter of the handle moves destruction off the io thread when the last reference goes there.
  static Result<std::shared_ptr<ClientImpl>> connect(const ClientOptions& options);
  ClientImpl(const ClientOptions& options, Address master);
  ~ClientImpl();

  // ok, or why no call can work: this is a forked child.
  Status usable() const;
  const ClientOptions& options() const { return options_; }
  Clock& clock() const { return clock_; }
  client::Counters& counters() { return counters_; }
  client::GrantCache& grants() { return *grants_; }
  client::PackedPlaces& packed() { return *packed_; }
  client::Resolver& resolver() { return parts_->resolver; }
  client::LockKeeper& locks() { return parts_->locks; }
  bool has_local_worker() const { return parts_->peers.has_local(); }
  Deadline metadata_deadline() const { return Deadline::after(clock_, options_.metadata_deadline); }

  // Runs `task` on the io thread and waits for its end. Refused on the io thread itself: it would wait for ever.
  template <class T>
  Result<T> wait(Task<T> task) { return wait(std::move(task), CallOptions()); }
  // The same, until its caller ends it; the task has ended in any case.
  template <class T>
  Result<T> wait(Task<T> task, const CallOptions& options);
  // Runs `task` and gives its result to `done` on the io thread.
  template <class T>
  void start(Task<T> task, std::function<void(Result<T>)> done);
  template <class T>
  void start(Task<T> task, const CallOptions& options, std::function<void(Result<T>)> done);
  bool on_io_thread() const;
  void post(std::function<void()> work);

  // change_calls.cc
  struct InPlace {
    UniqueFd fd;
    std::string version;
    bool is_new = false;
    bool is_staged = false;
  };
  struct Xattrs {
    std::string value;
    std::vector<std::string> names;
  };
  Task<Changed> change(Change change, Caller caller);
  Task<InPlace> open_in_place(OpenForWriting how, Caller caller);
  // `fd` is borrowed until the task ends.
  Task<Changed> publish(std::string path, int fd, bool must_be_new);
  struct RemovedSome {
    std::uint64_t removed = 0;
    bool more = false;
  };
  Task<RemovedSome> remove_some(std::string path, Caller caller);  // tree_calls.cc
  Task<Xattrs> xattrs(std::string path, std::string name, Caller caller);  // without a name: the names

  // told_calls.cc
  Task<> set_hook(ChangeHook hook);
  // Forgets what the notice names, has the hook act, and runs `done` on the io thread.
  void act_on(const ChangeNotice& notice, std::function<void()> done);

  Task<> obtain_grant(std::shared_ptr<FileImpl> file, std::size_t block, client::GrantOf what);
  Task<> fill(std::shared_ptr<FileImpl> file, std::uint64_t offset, std::uint64_t length);
  Task<> read(std::shared_ptr<FileImpl> file, std::span<std::byte> into, std::uint64_t offset);
  Task<std::uint64_t> load(std::shared_ptr<FileImpl> file, std::uint64_t offset, std::uint64_t length);
  Task<std::uint64_t> resident_bytes(std::shared_ptr<FileImpl> file);
  void read_ahead(std::shared_ptr<FileImpl> file, std::uint64_t position);
  void fill_ahead(std::shared_ptr<FileImpl> file, std::uint64_t position);
  void report_corrupt(std::shared_ptr<FileImpl> file, std::size_t block, std::uint64_t block_offset, WorkerId worker);

  Task<FileStatus> stat(std::string path);
  Task<DirectoryPage> list(std::string path, std::string after, std::size_t limit);
  Task<std::shared_ptr<FileImpl>> open(std::string path);
  Result<std::shared_ptr<FileImpl>> opened(std::string path, client::ResolutionPtr resolution);
  Task<std::vector<BlockPlacement>> locations(std::string path);
  Task<std::vector<WorkerStatus>> workers();
  Task<std::vector<AttachmentStatus>> attachments();
  Task<AttachmentStatus> attach(std::string path, std::string uri, AttachmentOptions options);
  Task<> detach(std::string path);
  Task<Client::Freed> free(std::string path, bool recursive);
  Task<MasterStatus> master_status();
  Task<SpaceStatus> space(std::string path);
  // batch_calls.cc
  Task<std::vector<Result<FileStatus>>> stat_many(std::vector<std::string> paths);
  Task<std::vector<Result<std::shared_ptr<FileImpl>>>> open_many(std::vector<std::string> paths);
  Task<> read_many(client::PendingReads reads);
  // policy_calls.cc
  enum class PolicyApply : std::uint8_t { now, dry_run };
  Task<PolicyVersion> policy(std::uint64_t version);
  Task<std::vector<PolicyVersion>> policies();
  Task<PolicyApplied> apply_policy(std::string text, PolicyChange change, PolicyApply mode);
  Task<PolicyVersion> roll_policy_back(std::uint64_t version, PolicyChange change);
  // observe_calls.cc
  Task<std::vector<WorkerWhatIf>> what_if(std::uint64_t memory_step_bytes, std::uint64_t nvme_step_bytes);
  Task<> start_trace(TracePlan plan);
  Task<std::vector<WorkerTrace>> stop_trace();

 private:
  Task<> wait_for_move(proto::ChangeRequest* request, proto::ChangeReply* reply, Deadline until);
  void forget_changed(const Change& change, const Changed& done);
  void forget_told(const ChangeNotice& notice);
  Task<std::vector<WorkerStatus>> live_workers();
  Task<RpcReply> ask_worker(WorkerStatus worker, Method method, std::string body, google::protobuf::MessageLite* reply,
                            std::span<std::byte> into);
  // Lives and dies on the io thread.
  struct Parts {
    Parts(ClientImpl& client, Address master);
    std::unique_ptr<Transport> transport;
    TaskGroup group;
    std::shared_ptr<client::MasterLink> master;  // shared by the parts that ask it
    client::Peers peers;
    client::Resolver resolver;
    client::StoreReader stores;
    client::GrantKeeper keeper;
    client::ReadEngine engine;
    client::BatchReader batches;
    client::LockKeeper locks;
    client::Subscription subscription;
    ChangeHook hook;
  };
  Task<> connect_task();
  Task<> fill_in_replicas(std::vector<BlockRef> blocks, std::vector<BlockPlacement>* placements, WorkerStatus worker);
  Task<> explain_short_circuit(BlockRef block, BlockPlacement* placement, Deadline deadline);
  static Task<> stop_parts(Parts* parts);

  const ClientOptions options_;
  Clock& clock_;
  const ForkGuard fork_;
  client::Counters counters_;
  std::unique_ptr<client::GrantCache> grants_;
  std::unique_ptr<client::PackedPlaces> packed_;
  std::unique_ptr<IoThread> io_;
  std::unique_ptr<Parts> parts_;
};

// Both in this header because they are templates; the result is handed over through a block that both sides hold.
template <class T>
Result<T> ClientImpl::wait(Task<T> task, const CallOptions& options) {
  CHECK_OK(usable());
  if (on_io_thread()) {
    return Error(Code::invalid_argument, "a synchronous call from a callback of the library would wait for itself; use the async form");
  }
  struct Slot {
    Result<T> result;
    std::binary_semaphore ready{0};
  };
  auto slot = std::make_shared<Slot>();
  auto done = [slot](Result<T> result) {
    slot->result = std::move(result);
    slot->ready.release();
  };
  const bool may_end_early = options.cancellation || options.deadline.count() > 0;
  if (may_end_early) start<T>(std::move(task), options, std::move(done));
  if (!may_end_early) start<T>(std::move(task), std::move(done));
  slot->ready.acquire();
  return std::move(slot->result);
}

namespace client {
template <class T>
Task<> finish(Task<T> task, std::function<void(Result<T>)> done) {
  Result<T> result = co_await std::move(task);
  done(std::move(result));
  co_return ok();
}
}  // namespace client

template <class T>
void ClientImpl::start(Task<T> task, std::function<void(Result<T>)> done) {
  asio::post(io_->executor(), [this, task = std::move(task), done = std::move(done)]() mutable {
    const Status started = parts_->group.spawn(client::finish<T>(std::move(task), done), "client_call");
    if (!started) done(started.error());
  });
}

template <class T>
void ClientImpl::start(Task<T> task, const CallOptions& options, std::function<void(Result<T>)> done) {
  auto ender = std::make_shared<client::Ender>(io_->executor(), options);
  auto explained = [ender, done = std::move(done)](Result<T> result) {
    ender->end();
    if (!result) result = ender->explain(std::move(result).error());
    done(std::move(result));
  };
  asio::post(io_->executor(), [this, ender, task = std::move(task), done = std::move(explained)]() mutable {
    auto started = parts_->group.spawn_cancellable(client::finish<T>(std::move(task), done), "client_call");
    if (!started) return done(started.error());
    ender->begin(std::move(*started));
  });
}

}  // namespace hearth
