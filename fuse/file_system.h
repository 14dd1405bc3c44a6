// A POSIX file system over a Source: what each operation answers, without the kernel's wire format.
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
#include "fuse/kernel_cache.h"
#include "fuse/live_files.h"
#include "fuse/locked_places.h"
#include "fuse/mount.h"
#include "fuse/node_table.h"
#include "fuse/prefetch.h"
#include "fuse/source.h"
#include "fuse/told_epochs.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
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
  std::shared_ptr<SourceFile> file;  // shared: a prefetch and an abandoned read outlive the handle; null: a live file
  bool writes = false;       // opened for writing
  bool may_go_live = false;  // where changes are taken: the node is asked at each read
  enum class Pages : std::uint8_t { keep, drop } pages = Pages::keep;  // what the kernel cached of the node
  bool writes_unseen = false;  // the kernel writes by itself, so that each close has to be announced
  UniqueFd quiet;  // opened with O_NOATIME: reads go through a descriptor of their own
  std::optional<MappedBlock> block;  // the whole file, when it was resident at open
  IoModes::Opened opened;
};

struct DirectoryHandle {
  NodeId node;
  DirectoryStream stream;
  ToldEpochs::Moment opened;  // no later than what the stream says
};

class FileSystem {
 public:
  FileSystem(const MountOptions& options, Source& source, BackingFiles& backing, FileStatus root);

  // Adds a lookup to the node; the caller gives it back with forget() if the kernel does not take the answer.
  Result<NodeEntry> lookup(NodeId parent, std::string_view name);
  Result<NodeEntry> entry_of(const DirectoryHandle& directory, const DirectoryItem& item);  // same, from a listing
  void forget(NodeId node, std::uint64_t lookups) { nodes_.forget(node, lookups); }
  Result<NodeAttributes> attributes(NodeId node);
  Status access(NodeId node, int mask);
  Result<std::string> readlink(NodeId node);

  // `flags` of open(2); the kernel checked the caller's rights.
  Result<std::shared_ptr<FileHandle>> open(NodeId node, int flags, const Caller& caller);
  // Bytes of the handle's version: a part of shared memory, or of `scratch` and then without a hold; short only at the end
  // of the file.
  Result<ReadView> read(const FileHandle& handle, std::uint64_t offset, std::size_t size, std::span<std::byte> scratch);
  // Whether read() has to ask somebody and may wait.
  static bool may_wait(const FileHandle& handle) { return !handle.block || handle.may_go_live; }
  void release(FileHandle& handle);

  // The writing side (file_changes.cc): refused with read_only unless the mount allows it. Done in the under-store, and
  // seen by everything in this mount, when it returns.
  struct Created {
    NodeEntry entry;
    std::shared_ptr<FileHandle> handle;
  };
  Result<Created> create(NodeId parent, std::string_view name, std::uint32_t mode, int flags, const Caller& caller);
  // `change` without its path: MakeDirectory, MakeNode, MakeSymlink.
  Result<NodeEntry> make(NodeId parent, std::string_view name, Change change, const Caller& caller);
  Result<NodeEntry> link(NodeId node, NodeId parent, std::string_view name, const Caller& caller);
  enum class Removal : std::uint8_t { file, directory };
  Status remove(NodeId parent, std::string_view name, Removal what, const Caller& caller);
  Status rename(NodeId parent, std::string_view name, NodeId to_parent, std::string_view to_name, Rename::Target target,
                const Caller& caller);
  // `handle` may be null; `wanted` without its path.
  Result<NodeAttributes> set_attributes(NodeId node, SetAttributes wanted, std::optional<std::uint64_t> length,
                                        const FileHandle* handle, const Caller& caller);
  Status set_xattr(NodeId node, Change change, const Caller& caller);  // SetXattr, RemoveXattr without the path
  Status write(const FileHandle& handle, std::span<const std::byte> bytes, std::uint64_t offset, LiveFile::Place place,
               std::uint32_t uid);
  // close(2): whoever opens the file afterwards sees what was written.
  Status flush(const FileHandle& handle);
  Status sync(const FileHandle& handle, LiveFile::Sync what);
  Status sync_directory(NodeId node, const Caller& caller);
  Status allocate(const FileHandle& handle, int mode, std::uint64_t offset, std::uint64_t length, std::uint32_t uid);
  Result<std::uint64_t> seek(const FileHandle& handle, std::uint64_t offset, int whence, const Caller& caller);
  Result<std::size_t> copy(const FileHandle& from, std::uint64_t from_offset, const FileHandle& to, std::uint64_t to_offset,
                           std::size_t length, const Caller& caller);

  // Locks that hold between mounts (file_locks.cc); null: there are none.
  std::shared_ptr<LockSession> lock_session() const { return source_.locks(); }
  // What names the file's object for all mounts, under all its names; of a store that does not tell objects apart, its path.
  Result<std::string> lock_key(NodeId node) const;
  // Before a lock is asked for: reads under the lock are of the file as it is, not of the version that was opened. stale: the
  // file was changed since it was opened here.
  Status prepare_to_lock(NodeId node);
  // A lock was granted: what is known of the file is of before.
  void forget_before_lock(NodeId node);

  Result<std::shared_ptr<DirectoryHandle>> opendir(NodeId node);
  void releasedir(DirectoryHandle& handle);

  // told.cc: others changed these. What was looked up before does not count any more, and the kernel is to drop what is answered.
  KernelWork told(const ChangeNotice& notice);
  // Of nodes made at `since` or later: the kernel may have been about to take them in.
  KernelWork told_again(const ChangeNotice& notice, TimePoint since);

  // Room in the under-stores of the node; at most 1 s older than the master's answer, the last known while it is away.
  Result<Capacity> capacity(NodeId node);
  Result<std::string> xattr(NodeId node, std::string_view name, const Caller& caller);
  Result<std::vector<std::string>> xattr_names(NodeId node, const Caller& caller);

  std::string path_of(NodeId node) const;  // for messages
  const MountOptions& options() const { return options_; }
  NodeTable& nodes() { return nodes_; }
  IoModes& modes() { return modes_; }
  MountCounters& counters() { return counters_; }
  Prefetcher& prefetcher() { return prefetcher_; }

 private:
  Result<NodeEntry> enter(NodeId parent, std::string_view name, FileStatus status);
  // The same; an answer from before a notice is not to be kept by the kernel.
  Result<NodeEntry> enter(NodeId parent, std::string_view name, FileStatus status, ToldEpochs::Moment asked);
  // stale: the node was told to have changed, and is another file now.
  Status confirm(NodeId node);
  void consider_prefetch(const std::string& path, const FileHandle& handle);
  bool takes_changes(const FileStatus& status) const {
    return options_.writing == MountOptions::Writing::allow && status.writable;
  }

  // file_changes.cc
  Status check_writable() const;
  // For what the mount itself wants to know or to hold: the kernel let its caller through before.
  static Caller this_process();
  struct Live {
    LiveFiles::Handle file;
    FileHandle::Pages pages = FileHandle::Pages::keep;
  };
  // The node's file, open in place. It must be pinned.
  Result<Live> go_live(NodeId node, LiveFile::Access access, int flags, const Caller& caller);
  Result<std::shared_ptr<FileHandle>> open_live(NodeId node, LiveFile::Access access, int flags, const Caller& caller);
  void end_live(NodeId node);
  Status publish(NodeId node, LiveFile& live);
  // Nobody publishes under these names, or below them, while it lives.
  struct StagedNames {
    std::vector<LiveFiles::Handle> files;
    std::vector<std::unique_lock<std::mutex>> locks;
    std::unique_lock<std::shared_mutex> directories;
  };
  StagedNames keep_names(std::optional<NodeId> one, std::optional<NodeId> other);
  void note_replaced(const std::string& path, const FileStatus& known);
  void set_mode(FileHandle& handle, const LiveFile& file, int flags);
  Result<NodeEntry> lookup_and_open(NodeId parent, std::string_view name, const std::string& path);
  LiveFiles::Handle live_of(const FileHandle& handle) const;
  // Under which its file is now, as far as anybody here can tell: another mount may have renamed one that is open here.
  Result<std::string> path_now(NodeId node) const;
  enum class Wrote : std::uint8_t { no, yes };  // this mount, through a descriptor
  Result<FileStatus> look_again(NodeId node, Wrote wrote);
  // Of a file that its path alone does not tell: live, without a name, or with several. Nothing: ask by the path.
  Result<std::optional<NodeAttributes>> attributes_past_the_path(NodeId node, FileStatus known);
  void hold_if_open(NodeId parent, std::string_view name);
  void adopt(NodeId node, const Changed& changed);
  // What is known of the file under its other names is of before.
  void names_changed(NodeId node, Wrote wrote);
  void lost_a_name(NodeId node);  // what is known under its others is of before

  const MountOptions& options_;
  Source& source_;
  NodeTable nodes_;
  LiveFiles lives_;
  OpenedAhead opened_ahead_;
  std::shared_mutex staged_directories_;  // shared by those who publish, alone by those who move a directory
  LockedPlaces locked_places_;
  ToldEpochs epochs_;
  std::atomic<bool> root_asked_{false};
  IoModes modes_;
  MountCounters counters_;
  struct KnownCapacity {
    Capacity capacity;
    TimePoint asked;
  };
  std::mutex capacity_mutex_;
  std::map<std::string, KnownCapacity> capacities_;  // Guarded by capacity_mutex_; by attachment, above attachments by path
  Prefetcher prefetcher_;  // last: its threads end first
};

}  // namespace hearth
