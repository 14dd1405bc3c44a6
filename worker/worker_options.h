// What a worker is started with. Plain values; the process's configuration fills them in.
#pragma once

#include "common/clock.h"
#include "tiering/block_store.h"
#include "tiering/nvme/disk_tier.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

struct NvmeDeviceOptions {
  std::string directory;             // on the device, this worker's alone
  std::uint64_t capacity_bytes = 0;  // 0 = 90 % of the file system
};

// The tiers below memory; none by default.
struct NvmeOptions {
  std::vector<NvmeDeviceOptions> devices;
  DiskOptions::Engine engine = DiskOptions::Engine::automatic;
  std::uint32_t queue_depth = 256;
  std::uint64_t scrub_bytes_per_second = 16ULL << 20;
  IfUnreadable if_unreadable = IfUnreadable::refuse;
  // Virtual and shared devices answer late now and then without being ill.
  DeviceHealthOptions health{.suspect_floor = std::chrono::milliseconds(20), .fence_floor = std::chrono::milliseconds(100)};
  bool lock = true;                  // false: simulated devices, which have no place for a lock file
  Duration open_within = std::chrono::seconds(10);   // a device that takes longer is opened in the background
  Duration close_within = std::chrono::seconds(5);   // at least: the index is written whatever the grace of the stop
  Duration look_again_every = std::chrono::seconds(5);  // for devices that are absent, or replaced
};

struct WorkerOptions {
  std::string master;                       // host:port
  std::string listen = "127.0.0.1:0";       // data server
  std::string advertise;                    // what others dial; "" = the bound address
  std::string local_socket;                 // path of the Unix socket; "" = no short-circuit
  std::uint32_t local_socket_mode = 0660;
  std::string staging_directory = "/var/tmp";  // of files that are being written to stores that take them whole
  std::string host;                         // for people; "" = the machine's name
  std::string version;                      // of this build
  std::string metrics_address;              // told to whoever asks for the status
  std::uint64_t worker_id = 0;              // 0 = random
  MemoryTierOptions memory;
  NvmeOptions nvme;

  // Threads that may block in an under-store. One hung store takes at most fetch_parallelism of them, and never
  // more than half.
  std::size_t blocking_threads = 32;
  // Checksum fetched pages and store them in the tier. 0 = half of the cores: writers of one memfd take turns, and spin.
  std::size_t compute_threads = 0;
  std::uint32_t fetch_parallelism = 16;     // page fetches at once, per attachment; also the window of one read
  std::uint32_t readahead_pages = 16;       // ahead of a sequential reader
  std::size_t max_waiting_fetches = 4096;   // per attachment; more are answered `overloaded`
  // Pages that could not be kept (full tier, no_fill) are read into this much memory beside the tier.
  std::uint64_t through_bytes = 256ULL << 20;
  std::size_t max_grants_per_connection = 65536;

  Duration fetch_timeout = std::chrono::seconds(30);      // of one under-store read
  Duration max_call_time = std::chrono::seconds(60);      // of a call that came without a sooner deadline
  Duration heartbeat_interval = Duration::zero();         // zero = what the master says
  Duration report_coalesce = std::chrono::milliseconds(100);  // from a change of presence to its report
  Duration master_backoff_min = std::chrono::milliseconds(100);
  Duration master_backoff_max = std::chrono::seconds(5);
  Duration master_call_timeout = std::chrono::seconds(3);
  std::size_t report_page_ids = 50'000;
};

}  // namespace hearth
