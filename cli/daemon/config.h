// The configuration of every process, and where it comes from.
//
// One struct per section; describe() is what files, environment, flags, docs/reference/config.md and the packaged
// examples are made from. Order: defaults, file, environment, --set.
// Fails: invalid_argument, with the place of the mistake.
#pragma once

#include "cli/daemon/process.h"
#include "common/config.h"
#include "common/log.h"
#include "common/units.h"
#include "fuse/mount.h"
#include "tiering/block_store.h"
#include "tiering/nvme/disk_tier.h"

#include <string>
#include <vector>

namespace hearth::cli {

enum class LogTarget : std::uint8_t { automatic, text, json, journal };

struct LogConfig {
  LogLevel level = LogLevel::info;
  LogTarget format = LogTarget::automatic;
  std::string file;

  template <class V>
  void describe(V& v) {
    v.choice("level", level, {{"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}, {"off", LogLevel::off}},
             {.help = "What is logged; read again on SIGHUP."});
    v.choice("format", format, {{"automatic", LogTarget::automatic}, {"text", LogTarget::text}, {"json", LogTarget::json}, {"journal", LogTarget::journal}},
             {.help = "automatic is journal under systemd, else text."});
    v.field("file", file, {.help = "Log file; empty is standard error."});
  }
};

struct MetricsConfig {
  std::string listen;

  template <class V>
  void describe(V& v) {
    v.field("listen", listen, {.help = "host:port that serves Prometheus text at /metrics; empty serves none."});
  }
};

struct ProcessSettings {
  CoreDumps core_dumps = CoreDumps::off;

  template <class V>
  void describe(V& v) {
    v.choice("core_dumps", core_dumps, {{"off", CoreDumps::off}, {"on", CoreDumps::on}},
             {.help = "off: a crash writes no core dump, and other processes of this user can not read this one's memory, where cached data and tokens for stores are. on: for finding a fault; secret keys of S3 are left out all the same."});
  }
};

struct MasterConfig {
  std::vector<std::string> listen{"127.0.0.1:19800"};
  std::string data_dir = "/var/lib/hearth/master";
  Duration heartbeat_interval = std::chrono::seconds(1);
  Duration lost_after = std::chrono::seconds(5);
  Duration lock_lease = std::chrono::seconds(10);
  Duration store_deadline = std::chrono::seconds(10);
  ByteSize metadata_cache = 256_MiB;
  std::uint64_t max_inodes = 200'000'000;
  Duration push_timeout = std::chrono::milliseconds(200);
  std::string policy_file;
  std::string events_listen;
  std::string events_token_file;
  enum class TcpCallers : std::uint8_t { refused, trusted } tcp_callers = TcpCallers::refused;

  template <class V>
  void describe(V& v) {
    v.choice("tcp_callers", tcp_callers, {{"refused", TcpCallers::refused}, {"trusted", TcpCallers::trusted}}, {.help = "Changes of files that come over TCP, where nothing proves in whose name. refused: only over a Unix socket of `listen`. trusted: whoever reaches the port may act as any user, root included."});
    v.field("listen", listen, {.help = "host:port or unix:/path where clients and workers come in. Without TLS: keep it on a trusted network."});
    v.field("data_dir", data_dir, {.help = "Directory of the metadata."});
    v.field("heartbeat_interval", heartbeat_interval, {.help = "How often workers report.", .min = std::chrono::milliseconds(10), .max = std::chrono::minutes(1)});
    v.field("lost_after", lost_after, {.help = "A worker silent for this long is lost, and its blocks with it.", .min = std::chrono::milliseconds(100), .max = std::chrono::hours(1)});
    v.field("lock_lease", lock_lease, {.help = "A mount that is silent for this long has lost its locks on files (flock, fcntl): others may have them.", .min = std::chrono::milliseconds(500), .max = std::chrono::hours(1)});
    v.field("push_timeout", push_timeout, {.help = "A change of files is answered when all clients and mounts know of it, but after this time at the latest; who did not answer by then is not waited for again until it has dropped all it knew.", .min = std::chrono::milliseconds(1), .max = std::chrono::seconds(10)});
    v.field("store_deadline", store_deadline, {.help = "Of one question about metadata to an under-store.", .min = std::chrono::milliseconds(100), .max = std::chrono::hours(1)});
    v.field("metadata_cache", metadata_cache, {.help = "Memory for metadata read from disk.", .min = 1_MiB, .max = ByteSize{1ULL << 46}});
    v.field("max_inodes", max_inodes, {.help = "Names kept; beyond it, metadata not asked for lately is dropped.", .min = 1000, .max = 10'000'000'000});
    v.field("policy_file", policy_file, {.help = "Policy for the first start: applied when the cluster has none yet. Later ones are applied with `hearth policy apply`."});
    v.field("events_listen", events_listen, {.help = "host:port where object stores post event notifications (POST /v1/events/s3); empty takes none."});
    v.field("events_token_file", events_token_file, {.help = "File with the token, of 16 characters or more, that senders of events must give."});
  }
};

struct MemoryConfig {
  ByteSize capacity = 1_GiB;
  HugePages huge_pages = HugePages::attempt;
  std::uint32_t grant_max_percent = 13;
  ByteSize pack_below = 1_MiB;
  ByteSize pool = 0_B;

  template <class V>
  void describe(V& v) {
    v.field("capacity", capacity, {.help = "Bytes of the memory tier; leased and incoming bytes are part of it.", .min = 16_MiB, .max = ByteSize{1ULL << 46}});
    v.choice("huge_pages", huge_pages, {{"attempt", HugePages::attempt}, {"require", HugePages::require}, {"off", HugePages::off}}, {.help = "Transparent huge pages for blocks over 1 MiB."});
    v.field("grant_max_percent", grant_max_percent, {.help = "A block larger than this share of the tier is never mapped by clients, because a mapped block is only freed whole.", .min = 1, .max = 100});
    v.field("pack_below", pack_below, {.help = "A file up to this long that is one page lies in a segment with others of its owner and rights, which clients on this host map once for all of them; 0B: none. Tiers under 64MiB have no segments.", .max = ByteSize{16ULL << 20}});
    v.field("pool", pool, {.help = "Freed memory kept for reuse, part of the capacity.", .max = ByteSize{1ULL << 46}});
  }
};

struct NvmeConfig {
  std::vector<std::string> directories;
  ByteSize capacity{};
  DiskOptions::Engine engine = DiskOptions::Engine::automatic;
  std::uint32_t queue_depth = 256;
  ByteSize scrub_per_second{16ULL << 20};
  IfUnreadable if_unreadable = IfUnreadable::refuse;

  template <class V>
  void describe(V& v) {
    v.field("directories", directories, {.help = "One for each device (XFS or ext4), this worker's alone; none is no NVMe tier. Data survives restarts."});
    v.field("capacity", capacity, {.help = "Bytes of each device; 0B takes 90 % of its file system.", .max = ByteSize{1ULL << 50}});
    v.choice("engine", engine, {{"auto", DiskOptions::Engine::automatic}, {"io_uring", DiskOptions::Engine::io_uring}, {"threads", DiskOptions::Engine::threads}}, {.help = "How devices are read; auto takes io_uring where the machine allows it."});
    v.field("queue_depth", queue_depth, {.help = "Operations in flight at each device.", .min = 1, .max = 4096});
    v.field("scrub_per_second", scrub_per_second, {.help = "Bytes of each device compared with their checksums in the background; 0B is none.", .max = ByteSize{1ULL << 34}});
    v.choice("if_unreadable", if_unreadable, {{"refuse", IfUnreadable::refuse}, {"rebuild", IfUnreadable::rebuild}}, {.help = "When a directory holds an index of another version or a damaged one: do not start, or start empty."});
  }
};

struct WorkerConfig {
  std::string master = "127.0.0.1:19800";
  std::string listen = "127.0.0.1:19801";
  std::string advertise;
  std::string local_socket = "/run/hearth/worker/worker.sock";
  std::string staging_directory = "/var/tmp";
  std::string host;
  std::uint32_t fetch_parallelism = 16;
  std::uint32_t readahead_pages = 16;
  Duration fetch_timeout = std::chrono::seconds(30);
  Duration drain_grace = std::chrono::seconds(10);
  MemoryConfig memory;
  NvmeConfig nvme;

  template <class V>
  void describe(V& v) {
    v.field("master", master, {.help = "host:port of the master."});
    v.field("listen", listen, {.help = "host:port of the data server. Without TLS: keep it on a trusted network."});
    v.field("advertise", advertise, {.help = "host:port that others dial; empty is the bound address."});
    v.field("local_socket", local_socket, {.help = "Unix socket for clients of this host (short-circuit reads); empty is none."});
    v.field("staging_directory", staging_directory,
            {.help = "Files that are being written to S3 or HDFS lie here, without a name, until they are closed."});
    v.field("host", host, {.help = "Name shown to people; empty is the name of the machine."});
    v.field("fetch_parallelism", fetch_parallelism, {.help = "Page fetches at once per attachment.", .min = 1, .max = 256});
    v.field("readahead_pages", readahead_pages, {.help = "Pages fetched ahead of a sequential reader.", .min = 0, .max = 1024});
    v.field("fetch_timeout", fetch_timeout, {.help = "Of one read of the under-store.", .min = std::chrono::milliseconds(100), .max = std::chrono::hours(1)});
    v.field("drain_grace", drain_grace, {.help = "How long running reads may end after SIGTERM.", .min = std::chrono::seconds(0), .max = std::chrono::hours(1)});
    v.section("memory", memory, "The memory tier.");
    v.section("nvme", nvme, "The tier on NVMe devices, below memory.");
  }
};

struct MountConfig {
  std::string master = "127.0.0.1:19800";
  std::string subtree = "/";
  std::string options;
  ByteSize max_mapped = 8_GiB;
  std::uint32_t connections_per_worker = 2;
  Duration read_deadline = std::chrono::seconds(30);
  std::string tenant;

  template <class V>
  void describe(V& v) {
    v.field("master", master, {.help = "host:port or unix:/path of the master."});
    v.field("subtree", subtree, {.help = "The part of the namespace that is mounted."});
    v.field("options", options, {.help = "Mount options as in fstab, with commas between them."});
    v.field("max_mapped", max_mapped, {.help = "Cached blocks kept mapped at once.", .min = 1_MiB, .max = ByteSize{1ULL << 46}});
    v.field("connections_per_worker", connections_per_worker, {.help = "To each worker of another host: one for small calls, the others for large reads. More where the network limits a single connection.", .min = 1, .max = 64});
    v.field("read_deadline", read_deadline, {.help = "Of one read, with retries elsewhere.", .min = std::chrono::milliseconds(100), .max = std::chrono::hours(1)});
    v.field("tenant", tenant, {.help = "On whose behalf the mount reads, for rules and quotas of the policy that name tenants; empty for nobody."});
  }
};

enum class Process : std::uint8_t { master, worker, mount };

// All sections; a process binds its own and passes over those of the others.
struct ProcessConfig {
  LogConfig log;
  MetricsConfig metrics;
  ProcessSettings process;
  MasterConfig master;
  WorkerConfig worker;
  MountConfig mount;
};

std::string_view process_name(Process process);
std::string default_config_file(Process process);  // /etc/hearth/<process>.toml

// Makes the sections of `process` known to `config`.
void bind_process(Config& config, Process process, ProcessConfig& values);
// The sections of all processes, for the reference.
void bind_all(Config& config, ProcessConfig& values);

// File, environment, then `assignments`. `file` empty: the default one, if it is there.
Status load_process_config(Config& config, Process process, const std::string& file, const std::vector<std::string>& assignments);

LogOptions log_options(const LogConfig& config);

}  // namespace hearth::cli
