// One connection to the kernel's FUSE: negotiation, threads, and the table of backing files.
//
// Threads: serve() makes the loop's threads; other methods from any thread.
// Owns:    the device descriptor; the kernel ends the connection when the session is destroyed.
// Fails:   serve(): version_mismatch, io_error; add(): permission_denied (not CAP_SYS_ADMIN),
//          unsupported (kernel older than 6.9).
#pragma once

#include "common/clock.h"
#include "common/fd.h"
#include "fuse/file_system.h"
#include "fuse/io_modes.h"
#include "fuse/kernel_cache.h"
#include "fuse/mount.h"

#include <memory>

namespace hearth {

class FuseSession final : public BackingFiles, public KernelCache {
 public:
  explicit FuseSession(const MountOptions& options);
  ~FuseSession() override;

  // Answers requests of `device` until the file system is unmounted or stop(). Returns when the kernel
  // has agreed on the protocol and whether files can be passed through is known.
  Status serve(FileSystem& files, UniqueFd device);
  // True when the loop has ended by then.
  bool wait_until(Deadline deadline);
  // Ends the loop, also while the file system is mounted, and waits for requests that are being answered. Open files
  // see ENOTCONN after the destructor.
  void stop();
  Status result() const;

  Result<std::int32_t> add(int fd) override;
  Result<std::int32_t> add_written(int fd) override;
  void remove(std::int32_t id) override;

  // Until the end of the session. Before serve() there is nothing to drop.
  void drop(NodeId node, Drop what) override;
  void expire(NodeId parent, const std::string& name) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
