// Hearth's client library: read a namespace through its cache.
//
//   auto client = hearth::Client::connect({.master = "127.0.0.1:19800"});
//   auto file = client->open("/data/part-0001.parquet");
//   std::vector<std::byte> buffer(4096);
//   auto n = file->pread(buffer, 0);          // bytes read; short only at the end of the file
//
// Threads: a Client and its Files may be used by any number of threads at once.
// Fork:    in a forked child every call on what was made before fails at once (invalid_argument) and letting go of it is
//          harmless; connect anew. Views and mapped blocks made before stay readable there while they are held. A
//          child forked inside of a callback may only exec or _exit.
// Fails:   every call returns a Result; nothing throws. Codes and messages: docs/reference/errors.md.
// Paths:   absolute in the namespace ("/a/b"), raw bytes; "." and ".." and empty components are refused.
#pragma once

#if __cplusplus < 202002L
#error "Hearth's C++ interface needs C++20: compile with -std=c++20 (C programs include <hearth/hearth.h>)"
#endif

#include <hearth/call_options.h>
#include <hearth/change_notice.h>
#include <hearth/changes.h>
#include <hearth/cluster.h>
#include <hearth/file_status.h>
#include <hearth/locks.h>
#include <hearth/observe.h>
#include <hearth/remove_tree.h>
#include <hearth/result.h>
#include <hearth/version.h>
#include <hearth/writable_file.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#if __has_include(<boost/asio/awaitable.hpp>)
#include <boost/asio/awaitable.hpp>
#endif

namespace hearth {

// Of the library in use; HEARTH_VERSION_STRING is that of these headers.
HEARTH_API std::string_view version();
// This process: effective user and group, umask, no supplementary groups. For Client::change and open_for_writing.
HEARTH_API Caller caller_of_this_process();

// One block of a file and where it is.
struct BlockPlacement {
  std::string block_id;  // 32 hex digits
  std::uint64_t start_bytes = 0;
  std::uint64_t length_bytes = 0;
  struct Replica {
    std::uint64_t worker_id = 0;
    std::string address;
    std::uint64_t resident_bytes = 0;
    bool complete = false;
    std::uint32_t leases = 0;
    std::string tier;
    bool packed = false;  // in shared memory with other small blocks
  };
  std::vector<Replica> replicas;
  std::string short_circuit;  // "yes", or why not in one sentence
  std::string would_read_from;  // worker address or "under-store"
};

// Where the bytes of the reads of this process came from.
struct ReadCounters {
  std::uint64_t mapped_bytes = 0;       // short-circuit, from shared memory
  std::uint64_t worker_hit_bytes = 0;   // sent by a worker, cached there
  std::uint64_t worker_miss_bytes = 0;  // sent by a worker that had to fetch them
  std::uint64_t store_bytes = 0;        // read straight from the under-store
  std::uint64_t retries = 0;
  std::uint64_t corrupt_chunks = 0;
};

enum class Verify : std::uint8_t { off, once, always };  // checksum of mapped bytes

struct ClientOptions {
  std::string master = "127.0.0.1:19800";  // host:port or unix:/path
  std::chrono::milliseconds metadata_deadline{10'000};  // stat, list, open, with retries
  std::chrono::milliseconds read_deadline{30'000};      // one pread, with retries elsewhere
  std::chrono::milliseconds attempt_deadline{5'000};    // one try at one worker while others remain
  std::uint64_t max_mapped_bytes = 8ULL << 30;  // grants kept by this client
  std::size_t max_cached_paths = 250'000;       // and places of packed blocks
  std::uint64_t grant_min_bytes = 1U << 20;     // smaller blocks are packed together in shared memory, or sent
  bool short_circuit = true;
  bool direct_store_reads = true;  // read the under-store itself when no worker can serve
  Verify verify = Verify::once;
  std::uint32_t readahead_bytes = 8U << 20;  // of a sequential reader on blocks that are not mapped
  // At most so many to each worker of another host: one for small calls, the others for large reads, opened as needed.
  std::uint32_t connections_per_worker = 2;
  // A file is mostly stat'ed to be opened, as a mount does it: one question to the master instead of two.
  bool stat_for_opening = false;
  // Be told at once what others change through Hearth, so that cached metadata is not believed until its ttl runs out. For a
  // client that lives shortly it is not worth the question.
  bool subscribe = true;
  std::string tenant;  // on whose behalf it reads, for rules and quotas of the policy; declared, not proven. At most 64 bytes
};

class ClientImpl;
class FileImpl;

// Bytes of a cached block in shared memory; valid while this lives, also across eviction.
struct MappedBlock {
  int fd = -1;  // read-only, borrowed: valid while `hold` lives
  std::uint64_t fd_offset_bytes = 0;
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> hold;  // shared: the mapping is kept by the client's cache and by every user
};

// Verified bytes of a file where the worker of this host keeps them; they stay, and do not change, while `hold` lives.
struct ReadView {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> hold;  // shared: see MappedBlock
};

// An open file: one version. Reads of another version fail with `stale`.
class HEARTH_API File {
 public:
  File() = default;
  const FileStatus& status() const;
  const std::string& path() const;
  // ok, or why every call on it fails: it was never opened, or this is a forked child.
  Status usable() const;

  // Reads up to into.size() bytes at `offset`; returns the count, short only at the end of the file.
  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset) const;
  // When it ends early, nothing is written to `into` any more; what is there is of no use.
  Result<std::size_t> pread(std::span<std::byte> into, std::uint64_t offset, const CallOptions& options) const;
  // Same, answered on a thread of the library, or refused at once on the caller's; `into` must live until then.
  void async_pread(std::span<std::byte> into, std::uint64_t offset,
                   std::function<void(Result<std::size_t>)> done) const;
#if __has_include(<boost/asio/awaitable.hpp>)
  // Same, resuming on the executor of the awaiting coroutine; its context must outlive the Client, whose thread may still
  // be leaving the post() that resumed it.
  boost::asio::awaitable<Result<std::size_t>> co_pread(std::span<std::byte> into, std::uint64_t offset) const;
#endif
  // Up to `length` bytes at `offset` without a copy; fewer at the end of the file or of what lies together in memory, and
  // brought there from the under-store if need be. unsupported: they are not in shared memory; read them.
  Result<ReadView> read_view(std::uint64_t offset, std::size_t length) const;
  // The whole file as shared memory, when it is one block that is fully cached on this host; an error says why not.
  Result<MappedBlock> map() const;
  // Asks the workers to cache [offset, offset + length); returns when they have.
  Result<std::uint64_t> load(std::uint64_t offset, std::uint64_t length) const;
  // Bytes of the file that the workers hold now, each counted once. A worker that does not answer holds none.
  Result<std::uint64_t> resident_bytes() const;

 private:
  friend class Client;
  friend class ClientImpl;
  explicit File(std::shared_ptr<FileImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<FileImpl> impl_;  // shared: reads in flight outlive the handle
};

// One read of many: of `file`, at `offset`, up to into.size() bytes. The result is as of File::pread().
struct ReadItem {
  File file;
  std::uint64_t offset = 0;
  std::span<std::byte> into;
  Result<std::size_t> result = std::size_t{0};
};

class HEARTH_API Client {
 public:
  // Connects to the master and negotiates the protocol version.
  static Result<Client> connect(const ClientOptions& options);

  Result<FileStatus> stat(std::string_view path) const;
  Result<DirectoryPage> list(std::string_view path, std::string_view after = {}, std::size_t limit = 1000) const;
  Result<File> open(std::string_view path) const;
  Result<FileStatus> stat(std::string_view path, const CallOptions& options) const;
  Result<File> open(std::string_view path, const CallOptions& options) const;
  // The same of each path, in their order, each with a result of its own; what is not cached costs one round trip to the
  // master in all (per 1,000 paths).
  std::vector<Result<FileStatus>> stat_many(std::span<const std::string> paths) const;
  std::vector<Result<File>> open_many(std::span<const std::string> paths) const;
  // Sets the result of each item. What is mapped is copied here; up to 64 KiB each, the others cost one round trip per worker in
  // all (per 1,024 items or 1 MiB); larger ones, and those that fail there, are read as pread() does. Items of one call
  // must not overlap in memory. Fails as a whole only where every call does (a forked child), and sets nothing then.
  Status read_many(std::span<ReadItem> items) const;
  // Whole content of a small file (at most `max_bytes`, else invalid_argument).
  Result<std::string> read_file(std::string_view path, std::uint64_t max_bytes = 64ULL << 20) const;
  void async_open(std::string path, std::function<void(Result<File>)> done) const;
  void async_stat(std::string path, std::function<void(Result<FileStatus>)> done) const;

  // Makes one change of the tree in the name of `caller`, who needs the rights that the under-store asks for: this
  // process must be root to speak for another user. It is done in the under-store, and every later call of this client
  // sees it, and of others that subscribed (those that do not answer, and those that did not, within `ttl`). An error carries the errno of the system call (Error::error_number). What
  // ended without an answer (unavailable, deadline_exceeded) may have been done.
  Result<Changed> change(const Change& change, const Caller& caller) const;
  // Removes what lies at and below `path`, depth first, in the name of `caller` and with the rights that each change asks for; of
  // a store that knows keys only, in batches where `caller` is root. What is gone already is no failure. Goes on where a name
  // can not be removed, and says so. busy: an attachment lies there or below, and nothing was done; cancelled: `progress` said stop.
  Result<TreeRemoval> remove_tree(std::string_view path, const Caller& caller, const RemoveTreeOptions& options = {}) const;
  // Opens a file of a local under-store in place (see WritableFile). unsupported: no worker of this host, or not a local
  // under-store.
  Result<WritableFile> open_for_writing(const OpenForWriting& how, const Caller& caller) const;
  // The value of an extended attribute; not_found with ENODATA. Asked anew each time.
  Result<std::string> xattr(std::string_view path, std::string_view name, const Caller& caller) const;
  Result<std::vector<std::string>> xattr_names(std::string_view path, const Caller& caller) const;
  // Room in the under-stores of a path; answers within about a second, also while a store is away.
  Result<SpaceStatus> space(std::string_view path) const;
  // Locks on files that hold in the whole cluster, for those who ask for them. All of one client are one session.
  std::shared_ptr<LockSession> locks() const;

  Result<std::vector<BlockPlacement>> locations(std::string_view path) const;
  Result<std::vector<WorkerStatus>> workers() const;
  Result<std::vector<AttachmentStatus>> attachments() const;
  Result<AttachmentStatus> attach(std::string_view path, std::string_view uri, const AttachmentOptions& options) const;
  Status detach(std::string_view path) const;
  // Drops cached blocks of a file or, recursively, of a tree; returns bytes freed.
  struct Freed { std::uint64_t blocks = 0; std::uint64_t bytes = 0; };
  Result<Freed> free(std::string_view path, bool recursive) const;
  Result<MasterStatus> master_status() const;

  Result<PolicyVersion> policy(std::uint64_t version = 0) const;  // 0: the one in force
  Result<std::vector<PolicyVersion>> policies() const;            // those kept, the newest first
  // invalid_argument lists every fault with line and column, and nothing changed.
  Result<PolicyApplied> apply_policy(std::string_view text, const PolicyChange& change) const;
  Result<PolicyApplied> check_policy(std::string_view text) const;  // as apply_policy would, and changes nothing
  // What one step more of each tier would save, asked of each live worker; steps of 0 are 1 GiB and 1 TiB.
  Result<std::vector<WorkerWhatIf>> what_if(std::uint64_t memory_step_bytes = 0, std::uint64_t nvme_step_bytes = 0) const;
  // Records the reads of each live worker until stop_trace(). Fails: busy (one is being recorded), invalid_argument.
  Status start_trace(const TracePlan& plan) const;
  Result<std::vector<WorkerTrace>> stop_trace() const;
  Result<PolicyVersion> roll_policy_back(std::uint64_t version, const PolicyChange& change) const;

  // Called with each change that this client is told of, after it forgot what it knew, and with "everything" when it is
  // connected again and may have missed some. Replaces the hook before; null: none. Must not be called from a hook.
  Status on_changes(ChangeHook hook) const;

  // Forgets cached metadata of `path` (all when empty), so that the next call asks the master.
  void forget(std::string_view path = {}) const;
  ReadCounters counters() const;
  const ClientOptions& options() const;
  Status usable() const;  // ok, or why every call on it fails: this is a forked child

 private:
  explicit Client(std::shared_ptr<ClientImpl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<ClientImpl> impl_;  // shared: files keep their client alive
};

}  // namespace hearth
