// The POSIX mount: Hearth's namespace as a file system of the kernel, read-only unless writing is allowed.
//
//   auto mount = hearth::Mount::start(std::move(options), std::move(client));
//   (*mount)->wait();            // until unmount(), umount(8) or fusermount3 -u
//
// Threads: start() makes the threads; every method may be called from any thread, but not from a
//          signal handler: let main wait for the signal and call unmount().
// Owns:    the mount point while it lives (the destructor unmounts), the client, the threads.
// Fails:   start() says in one sentence what is missing and what to do; nothing stays mounted then.
// Promise: one kernel inode is one file version (writable: one file), see node_table.h; the rest is in fuse/README.md.
#pragma once

#include "common/clock.h"

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace hearth {

class Source;

struct MountOptions {
  enum class AllowOther : std::uint8_t { automatic, yes, no };  // automatic: yes when root
  enum class Passthrough : std::uint8_t { attempt, off, require };
  enum class Prefetch : std::uint8_t { off, on_open };
  enum class Occupied : std::uint8_t { refuse, allow };  // a mount point with files in it
  enum class Execute : std::uint8_t { allow, refuse };
  enum class Writing : std::uint8_t { refuse, allow };
  enum class Locks : std::uint8_t { cluster, local };  // between all mounts, or the kernel's own of this one

  std::string mountpoint;
  std::string subtree = "/";  // the part of the namespace that is mounted
  std::string fsname = "hearth";
  std::string master;         // for the caller that makes the Client; "" = its default
  AllowOther allow_other = AllowOther::automatic;
  Passthrough passthrough = Passthrough::attempt;
  Prefetch prefetch = Prefetch::on_open;
  Occupied occupied = Occupied::refuse;
  Execute execute = Execute::allow;
  Writing writing = Writing::refuse;
  Locks locks = Locks::cluster;  // of a writable mount; a read-only one has the kernel's own
  std::uint64_t prefetch_max_bytes = 64U << 20;  // files up to this length; one page or less is never worth it
  std::size_t threads = 64;  // most requests that may wait in the daemon at once
  std::uint32_t max_read_bytes = 1U << 20;
  std::uint32_t readahead_bytes = 4U << 20;  // of the kernel; only root may raise it over 128 KiB
  // Ceilings over FileStatus::ttl, which is the true bound: the kernel never keeps a name longer.
  Duration entry_timeout = std::chrono::hours(1);
  Duration attr_timeout = std::chrono::hours(1);
  // How long the kernel believes that a name is absent. It comes on top of the client's own answer, so 0.
  Duration negative_timeout{0};
  // How long a request that the caller gave up on may still end by itself: a signal that is
  // not meant to kill (SIGCHLD, SIGPROF) should not turn a short read into EINTR.
  Duration interrupt_grace = std::chrono::milliseconds(200);
  // unmount() of a busy mount: how long open files are served before they are cut off.
  Duration busy_grace = std::chrono::seconds(5);
};

// The options of fstab and mount.hearth: "ro,allow_other,attr_timeout=1s,master=host:port". `\,` is a comma
// in a value. What belongs to mount(8) and systemd (_netdev, nofail, x-*) is passed over; an unknown word is
// refused by name with the nearest known one. The mount point and the subtree come from the caller.
Result<MountOptions> parse_mount_options(std::string_view text);

struct MountStats {
  struct Operation {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
  };
  std::map<std::string, Operation> operations;
  std::uint64_t passthrough_opens = 0;  // read by the kernel itself
  std::uint64_t cached_opens = 0;       // read through the daemon and the page cache
  std::uint64_t stale_opens = 0;        // the version had changed; the kernel looked again
  std::uint64_t mapped_read_bytes = 0;  // answered straight from shared memory
  std::uint64_t copied_read_bytes = 0;  // answered through File::pread
  std::uint64_t interrupted = 0;
  std::uint64_t prefetches = 0;
  std::uint64_t open_files = 0;
  std::uint64_t open_directories = 0;
  std::uint64_t nodes = 0;              // kernel inodes, the root not counted
  std::uint64_t backing_files = 0;      // registered with the kernel now
  std::string passthrough;              // "on", or in one sentence why not
};

class Mount {
 public:
  // Returns once the kernel has accepted the mount and the first request can be answered.
  static Result<std::unique_ptr<Mount>> start(MountOptions options, Client client);
  // Same over another source of files: the seam for fault tests.
  static Result<std::unique_ptr<Mount>> start(MountOptions options, std::unique_ptr<Source> source);
  ~Mount();

  // Blocks until the file system is no longer served.
  Status wait();
  // Unmounts. A busy mount leaves the tree at once, serves its open files for `busy_grace` and then cuts
  // them off (they see ENOTCONN); that is logged as a warning. Calling it again is harmless.
  Status unmount();
  MountStats stats() const;

 private:
  struct Impl;
  explicit Mount(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
