// A scripted master and scripted workers over real sockets, for tests of the client alone.
//
// Threads: methods from the test's thread; the servers run on a thread of their own.
// Owns:    its servers and sockets, until the destructor.
#pragma once

#include "common/block.h"
#include "common/io_thread.h"
#include "common/net/rpc.h"
#include "proto/hearth.pb.h"

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace hearth::client::testing {

// A file as the scripted master knows it.
struct FakeFile {
  std::string content;
  std::string version = "v1";
  proto::FileType type = proto::REGULAR;
  std::string target;
  std::uint64_t ttl_ms = 60'000;
  std::uint64_t block_size_bytes = 1ULL << 30;
  std::string store_uri = "file:///nowhere/at/all";
};

std::vector<BlockRef> blocks_of(const std::string& path, const FakeFile& file);

class FakeServer {
 public:
  FakeServer();
  virtual ~FakeServer();
  void fail_with(Code code);  // every later call, ok ends it
  void fail_with(Method method, Code code);
  // Calls of the method are not answered until resume(), which answers those that wait, too.
  void hang(Method method);
  void resume();
  int calls(Method method) const;
  int connections_ended() const;
  std::string tcp_address() const { return tcp_.to_string(); }
  const std::string& socket_path() const { return socket_path_; }
  void start(const std::vector<Address>& addresses);
  void stop();  // connections end, as if the process was killed

 protected:
  virtual Task<ServerReply> answer(std::shared_ptr<ServerCall> call) = 0;
  void serve(Method method);
  void notify_all(Method method, std::string body);

  mutable std::mutex mutex_;  // guards what tests and handlers share
  std::string socket_path_;

 private:
  Task<ServerReply> handle(std::shared_ptr<ServerCall> call);
  bool hangs(Method method) const;

  IoThread io_{"fake-server"};
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<RpcServer> server_;
  std::vector<Method> methods_;
  std::vector<ConnectionId> connections_;
  Address tcp_;
  Code failure_ = Code::ok;
  std::map<Method, Code> failures_;
  std::set<Method> hanging_;
  std::map<Method, int> calls_;
  int connections_ended_ = 0;
};

class FakeWorker : public FakeServer {
 public:
  FakeWorker(std::uint64_t id, std::string socket_path);
  ~FakeWorker() override { stop(); }
  void hold(const std::string& path, const FakeFile& file);
  void start_again();
  // Flips a byte in what is granted, after its checksums were taken.
  void damage(const std::string& path, const FakeFile& file, std::uint64_t offset);
  // Puts the blocks of a held file into the worker's segment, which is granted as it is at that moment.
  void pack(const std::string& path, const FakeFile& file);
  void move_packed(std::uint64_t by_bytes);  // replies place packed blocks so much further on, and the segment stays
  void start_a_segment();                    // under another id, and empty
  void recall_everything();
  void refuse_grants(Code code);
  // Every range of these blocks, in calls for many ranges.
  void fail_ranges(const std::string& path, const FakeFile& file, Code code);
  std::vector<std::uint64_t> released() const;
  std::uint64_t id() const { return id_; }
  proto::WorkerInfo info(proto::WorkerInfo::State state = proto::WorkerInfo::LIVE) const;

 protected:
  Task<ServerReply> answer(std::shared_ptr<ServerCall> call) override;

 private:
  Result<ServerReply> grant(const proto::GrantRequest& request);
  Result<ServerReply> grant_segment();
  Task<ServerReply> read(std::shared_ptr<ServerCall> call);
  proto::PackedPlace place_of(const BlockId& block);  // of a packed one
  ServerReply read_many(const proto::ReadManyRequest& request);

  const std::uint64_t id_;
  std::map<BlockId, std::string> blocks_;
  std::map<BlockId, std::uint64_t> damaged_;
  std::map<BlockId, std::uint64_t> packed_;  // offset in the segment
  BlockId segment_id_{7, 7};
  std::string segment_;
  std::map<BlockId, Code> failing_;
  std::vector<std::uint64_t> leases_;
  std::vector<std::uint64_t> released_;
  Code refusal_ = Code::ok;
};

class FakeMaster : public FakeServer {
 public:
  FakeMaster();
  ~FakeMaster() override { stop(); }
  void put(const std::string& path, FakeFile file);
  void remove(const std::string& path);
  void set_workers(std::vector<proto::WorkerInfo> workers);
  void answer_at_most(std::size_t names);  // of those in one message
  void set_holders(std::vector<std::uint64_t> worker_ids);  // of every block
  void start_again();

 protected:
  Task<ServerReply> answer(std::shared_ptr<ServerCall> call) override;

 private:
  Result<std::string> resolve(const std::string& path);
  Result<std::string> stat(const proto::StatRequest& request);
  std::string stat_many(const proto::StatManyRequest& request);
  std::string resolve_many(const proto::ResolveManyRequest& request);
  std::string list(const std::string& path);
  proto::FileInfo info(const std::string& path, const FakeFile& file) const;

  std::map<std::string, FakeFile> files_;
  std::vector<proto::WorkerInfo> workers_;
  std::vector<std::uint64_t> holders_;
  std::uint64_t table_version_ = 1;
  std::size_t names_per_answer_ = 1000;
};

}  // namespace hearth::client::testing
