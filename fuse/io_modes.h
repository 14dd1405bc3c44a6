// How the handles of a node are read: by the kernel itself (passthrough) or through the daemon and the page cache.
//
// The kernel (fs/fuse/iomode.c) holds an inode to one mode while any handle is open: after a
// passthrough open every further open must name the same backing file, and after a cached open
// none may; a wrong answer is EIO in the caller's open(). So the first handle of a node decides
// and the others follow. A node is one file version, or a file that is open in place, so following is always right.
//
// Threads: any; one mutex, held across the registering ioctl (a few microseconds).
// Owns:    the backing file of each passthrough node and the lease on its block, until the last release.
// Fails:   never an open: what can not be passed through is cached.
#pragma once

#include "fuse/node_table.h"

#include <hearth/client.h>
#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace hearth {

// The kernel's table of backing files.
class BackingFiles {
 public:
  virtual ~BackingFiles() = default;
  virtual Result<std::int32_t> add(int fd) = 0;
  // One that is written, too: whoever writes to it loses its set-user-id and set-group-id, as a user's write does.
  virtual Result<std::int32_t> add_written(int fd) { return add(fd); }
  virtual void remove(std::int32_t id) = 0;
};

class IoModes {
 public:
  struct Opened {
    enum class Mode : std::uint8_t { cached, passthrough };
    Mode mode = Mode::cached;
    std::int32_t backing_id = 0;
  };
  enum class Enabled : std::uint8_t { yes, no };

  explicit IoModes(BackingFiles& backing) : backing_(backing) {}

  // Until then, and after `no`, every node is cached. `reason` is what stats show.
  void enable(Enabled enabled, std::string reason);
  std::string state() const;  // "on" or the reason

  // Counts a handle. `block` is the whole file in shared memory, or null.
  Opened open(NodeId node, const MappedBlock* block, std::uint64_t file_length_bytes);
  // The same for a file that is open in place; `fd` is the under-store's own.
  Opened open_in_place(NodeId node, int fd);
  void release(NodeId node);

  std::uint64_t handles(NodeId node) const;
  std::size_t open_nodes() const;
  std::size_t backing_count() const;

 private:
  struct State {
    Opened opened;
    std::uint64_t handles = 0;
    std::shared_ptr<const void> hold;  // shared: the lease belongs to the client's cache, too
  };

  Opened choose(State& state, const MappedBlock* block, std::uint64_t file_length_bytes);
  Opened backed_by(Result<std::int32_t> id);

  BackingFiles& backing_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::unordered_map<NodeId, State> nodes_;
  std::size_t backing_count_ = 0;
  bool enabled_ = false;
  std::string reason_ = "the kernel has not been asked yet";
};

}  // namespace hearth
