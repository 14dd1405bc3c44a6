// The tree of the master: attachments, virtual directories, and what is known of the under-stores.
//
// Synchronous and free of I/O besides its MetaStore; it asks no under-store, it is told what one said.
// Threads: confined to the namespace thread.
// Owns:    inode ids (never reused, also after a crash: handed out from durably reserved ranges), the rows of
//          its store, the table of attachments.
// Durable: attach() and detach() are written, not synced: acknowledge them after MetaStore::sync(). The rest
//          can be loaded again; each change is one write, so a crash leaves a consistent tree.
// Fails:   not_found, already_exists, busy (see each call); corrupt and io_error from the store.
#pragma once

#include "master/attachment_table.h"
#include "master/meta_store.h"
#include "master/records.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth::master {

// A directory load in progress: made by begin_load(), carried through its batches.
struct LoadProgress {
  InodeId directory;
  std::uint64_t generation = 0;
  Moment started;
  std::string version;       // of the directory when the load began
  std::uint64_t entries = 0;
  std::string swept_to;      // key of the last entry looked at by sweep()
};

struct Child {
  std::string name;
  EntryRow entry;
  Inode inode;
  Moment checked;  // the later of the inode's own check and the load that saw the entry
};

class Namespace {
 public:
  struct Limits {
    std::uint64_t id_range = 1U << 20;        // ids reserved by one synced write
    std::size_t removed_during_load = 16384;  // names remembered per load; more make the load count as incomplete
  };

  // Opens or creates. Refuses a store of another schema version (`version_mismatch`).
  static Result<std::unique_ptr<Namespace>> open(MetaStore& store, std::uint64_t fresh_cluster_id, Limits limits);
  static Result<std::unique_ptr<Namespace>> open(MetaStore& store, std::uint64_t fresh_cluster_id) {
    return open(store, fresh_cluster_id, Limits());
  }

  std::uint64_t cluster_id() const { return cluster_id_; }
  std::uint64_t run() const { return run_; }
  std::uint64_t inode_count() const { return inode_count_; }
  // A moment of this run, later than every moment given before: answers are ordered by when they were asked for.
  Moment next_moment(TimePoint now);

  // ---- attachments (namespace.cc)
  const AttachmentTable& attachments() const { return table_; }
  std::uint64_t attachments_version() const { return attachments_version_; }
  // `wanted` gives path, uri, settings and time; id and root are chosen here. already_exists when the path is taken.
  Result<AttachmentRow> attach(AttachmentRow wanted, const ObjectInfo& root, Moment asked);
  // not_found when nothing is attached there; busy when attachments lie below.
  Status detach(const NamespacePath& path);
  // Id of a directory that exists only because attachments lie below it; root_inode for "/".
  InodeId virtual_inode(const std::string& path) const;

  // ---- entries (namespace_tree.cc)
  Result<std::optional<EntryRow>> entry(InodeId parent, std::string_view name);
  Result<Inode> inode(InodeId id);
  // The entry with its inode, or nothing.
  Result<std::optional<Child>> child(InodeId parent, std::string_view name);
  // At most `limit` entries after `after`, in byte order of their names.
  Result<std::vector<Child>> children(InodeId parent, std::string_view after, std::size_t limit);
  // Records what the store said of parent/name when asked at `asked`; an answer to an older question than
  // the recorded one changes nothing. Another object (see object_identity) gets a new inode id.
  Result<Inode> upsert(InodeId parent, std::string_view name, const ObjectInfo& object, Moment asked);
  // The same for the root of an attachment, which keeps its id.
  Result<Inode> upsert_root(InodeId root, const ObjectInfo& object, Moment asked);
  // What an object is given whose store can not keep it.
  struct KeptAttributes {
    std::optional<std::uint32_t> mode, uid, gid;
    std::optional<std::int64_t> mtime_ns, atime_ns, ctime_ns;
    bool any() const { return ctime_ns.has_value(); }
  };
  Result<Inode> give_attributes(InodeId id, const KeptAttributes& given);
  // As a rename in the store at `at`: the entry goes on at `to` with all below it, and what stood there goes. One write, with
  // the rows of `more`. Where nothing is known of `from`, the rest is done all the same.
  struct EntryPlace {
    InodeId parent;
    std::string name;
  };
  Status move(const EntryPlace& from, const EntryPlace& to, Moment at, WriteBatch more = {});
  // Records that parent/name was absent at `asked`. A directory's subtree becomes unreachable at once and is reaped later.
  Status remove(InodeId parent, std::string_view name, Moment asked);

  // ---- directory loads (namespace_load.cc): begin, batches, sweep until done, finish; or abandon
  // busy when a load of the directory is under way.
  Result<LoadProgress> begin_load(InodeId directory, std::string version, Moment asked);
  // stale when the directory was replaced or removed meanwhile.
  Status load_batch(LoadProgress& load, const std::vector<ObjectInfo>& objects, Moment asked);
  enum class Sweep : std::uint8_t { more, done };
  // Looks at up to `limit` entries and removes those that neither the load nor a later question saw.
  Result<Sweep> sweep(LoadProgress& load, std::size_t limit);
  // The directory counts as loaded as of the load's beginning.
  Result<Inode> finish_load(const LoadProgress& load);
  void abandon_load(const LoadProgress& load) { loads_.erase(load.directory); }
  bool is_loading(InodeId directory) const { return loads_.contains(directory); }

  // Deletes up to `limit` rows of removed subtrees; `done` when none is left.
  Result<Sweep> reap(std::size_t limit);
  // Looks at up to `limit` entries after `cursor` and forgets files that nobody asked the store about since `horizon`;
  // their directories count as not loaded. `done` after the last entry; begin again with an empty cursor.
  Result<Sweep> trim(std::string& cursor, std::size_t limit, Moment horizon);
  bool has_orphans() const { return has_orphans_; }

 private:
  struct ActiveLoad {
    std::uint64_t generation = 0;
    std::map<std::string, Moment, std::less<>> removed;  // absent when asked then, while the load was running
    bool forgot_removals = false;
    bool directory_gone = false;
  };
  // What a batch does to the tree besides its rows; applied after the write succeeded.
  struct Staged {
    WriteBatch rows;
    std::int64_t inode_delta = 0;
    std::vector<InodeId> orphans;
  };

  Namespace(MetaStore& store, Limits limits) : store_(store), limits_(limits) {}
  Status load_tables();
  Result<std::uint64_t> meta_number(std::string_view key, std::uint64_t fallback);
  Result<InodeId> new_inode_id();
  Status commit(Staged staged);
  Result<Inode> stage_upsert(Staged& staged, InodeId parent, const ObjectInfo& object, Moment asked,
                             std::uint64_t generation, const std::optional<Child>& known);
  void note_removal(InodeId parent, std::string_view name, Moment asked);  // for a load that is under way
  void stage_removal(Staged& staged, InodeId parent, std::string_view name, const EntryRow& entry);
  Result<std::vector<std::optional<Child>>> known_children(InodeId parent, const std::vector<ObjectInfo>& objects);
  Result<Child> join(const Inode* directory, std::string name, const EntryRow& entry, std::string_view record);

  // Set once
  MetaStore& store_;
  Limits limits_;
  std::uint64_t cluster_id_ = 0;
  std::uint64_t run_ = 0;

  // Namespace thread only
  AttachmentTable table_;
  std::uint64_t attachments_version_ = 1;
  std::uint32_t next_attachment_ = 1;
  std::map<std::string, InodeId> virtual_inodes_;
  std::uint64_t next_id_ = 2;
  std::uint64_t reserved_end_ = 2;
  std::uint64_t inode_count_ = 0;
  std::uint32_t next_generation_ = 1;
  std::int64_t last_moment_ns_ = 0;
  bool has_orphans_ = false;
  std::unordered_map<InodeId, ActiveLoad> loads_;
};

}  // namespace hearth::master
