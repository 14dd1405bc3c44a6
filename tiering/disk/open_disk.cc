// Chooses the engine: what the machine allows decides, and what was given up is said once.
#include "tiering/disk/disk.h"

#include "common/log.h"
#include "tiering/disk/posix_directory.h"
#include "tiering/disk/probe.h"
#include "tiering/disk/threads_disk.h"
#include "tiering/disk/uring_disk.h"

#include <mutex>
#include <set>
#include <utility>

namespace hearth {
namespace {

void add_reason(DiskTraits& traits, const std::string& reason) {
  if (!traits.fallback_reason.empty()) traits.fallback_reason += "; ";
  traits.fallback_reason += reason;
}

// Once per process: every shard opens the same directories.
bool is_news(const std::string& what) {
  static std::mutex mutex;
  static std::set<std::string> said;
  const std::lock_guard lock(mutex);
  return said.insert(what).second;
}

DiskTraits traits_of(const disk::PosixDirectory& directory) {
  DiskTraits traits;
  const std::string no_direct = directory.probe_direct();
  traits.direct = no_direct.empty();
  if (!traits.direct) add_reason(traits, no_direct);
  return traits;
}

}  // namespace

Result<DiskTraits> probe_disk(const std::string& directory) {
  TRY(opened, disk::PosixDirectory::open(directory));
  DiskTraits traits = traits_of(opened);
  const std::string no_ring = disk::probe_uring();
  traits.engine = no_ring.empty() ? "io_uring" : "threads";
  if (!no_ring.empty()) add_reason(traits, no_ring);
  return traits;
}

Result<std::unique_ptr<Disk>> open_disk(const DiskOptions& options, Executor executor, Clock&) {
  TRY(directory, disk::PosixDirectory::open(options.directory));
  DiskTraits traits = traits_of(directory);
  std::unique_ptr<Disk> opened;
  if (options.engine != DiskOptions::Engine::threads) {
    traits.engine = "io_uring";
    auto ring = disk::make_uring_disk(directory, options, traits, executor);
    if (!ring && options.engine == DiskOptions::Engine::io_uring) return std::move(ring).error();
    if (ring) {
      opened = std::move(*ring);
    } else {
      add_reason(traits, ring.error().message());
    }
  }
  if (!opened) {
    traits.engine = "threads";
    opened = disk::make_threads_disk(std::move(directory), options, traits, std::move(executor));
  }
  if (!traits.fallback_reason.empty() && is_news(options.directory + traits.fallback_reason)) {
    log_warn("disk_fallback", {{"directory", options.directory}, {"engine", traits.engine},
                               {"direct", traits.direct ? "yes" : "no"}, {"reason", traits.fallback_reason}});
  }
  return opened;
}

}  // namespace hearth
