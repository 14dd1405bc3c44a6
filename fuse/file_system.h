// The read side of a POSIX file system over a Source: what each operation answers, without the kernel's wire format.
//
// Threads: any number at once. A call may block as long as the Source does.
// Owns:    the node table. A handle is shared between its opener, who calls release() once, and a read that the
//          opener gave up on and that may still run then.
// Fails:   the codes of the Source; `stale` also when a file has another version than its node:
//          the kernel then looks the name up again and gets a new node (node_table.h).
#pragma once

#include "fuse/counters.h"
#include "fuse/directory_stream.h"
#include "fuse/io_modes.h"
#include "fuse/mount.h"
#include "fuse/node_table.h"
#include "fuse/prefetch.h"
#include "fuse/source.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearth {

struct NodeEntry {
  NodeId node = 0;
  FileStatus status;
  Duration entry_timeout{0};
  Duration attr_timeout{0};
};

struct NodeAttributes {
  FileStatus status;
  Duration timeout{0};
};

struct FileHandle {
  NodeId node = 0;
  std::shared_ptr<SourceFile> file;  // shared: a prefetch and an abandoned read outlive the handle
  std::optional<MappedBlock> block;  // the whole file, when it was resident at open
  IoModes::Opened opened;
};

struct DirectoryHandle {
  NodeId node;
  DirectoryStream stream;
};

class FileSystem {
 public:
  FileSystem(const MountOptions& options, Source& source, BackingFiles& backing, FileStatus root);

  // Adds a lookup to the node; the caller gives it back with forget() if the kernel does not take the answer.
  Result<NodeEntry> lookup(NodeId parent, std::string_view name);
  Result<NodeEntry> entry_of(NodeId parent, const DirectoryItem& item);  // same, from a listing
  void forget(NodeId node, std::uint64_t lookups) { nodes_.forget(node, lookups); }
  Result<NodeAttributes> attributes(NodeId node);
  Status access(NodeId node, int mask);
  Result<std::string> readlink(NodeId node);

  Result<std::shared_ptr<FileHandle>> open(NodeId node);
  // Bytes of the handle's version: a part of shared memory, or of `scratch` and then without a hold; short only at the end
  // of the file.
  Result<ReadView> read(const FileHandle& handle, std::uint64_t offset, std::size_t size, std::span<std::byte> scratch);
  // Whether read() has to ask somebody and may wait.
  static bool may_wait(const FileHandle& handle) { return !handle.block; }
  void release(FileHandle& handle);

  Result<std::shared_ptr<DirectoryHandle>> opendir(NodeId node);
  void releasedir(DirectoryHandle& handle);

  // Capacity and use of the caches, and the inodes known to the master; at most 1 s old, the last
  // known while the master is away.
  Result<Capacity> capacity();
  Result<std::string> xattr(NodeId node, std::string_view name);
  Result<std::vector<std::string>> xattr_names(NodeId node);

  std::string path_of(NodeId node) const;  // for messages
  const MountOptions& options() const { return options_; }
  NodeTable& nodes() { return nodes_; }
  IoModes& modes() { return modes_; }
  MountCounters& counters() { return counters_; }
  Prefetcher& prefetcher() { return prefetcher_; }

 private:
  Result<NodeEntry> enter(NodeId parent, std::string_view name, FileStatus status);
  void consider_prefetch(const std::string& path, const FileHandle& handle);

  const MountOptions& options_;
  Source& source_;
  NodeTable nodes_;
  IoModes modes_;
  MountCounters counters_;
  std::mutex capacity_mutex_;
  // Guarded by capacity_mutex_
  Capacity capacity_;
  std::optional<TimePoint> capacity_read_at_;
  Prefetcher prefetcher_;  // last: its threads end first
};

}  // namespace hearth
