// What the namespace keeps, and its form on disk (docs/formats/metadata.md has the golden bytes).
//
// Threads: values and pure functions.
// Fails:   decoding fails with `corrupt` on bytes that are not a record of this format version; it never
//          guesses, skips or fills in.
#pragma once

#include "common/block.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/object_identity.h"
#include "understore/store_factory.h"
#include "understore/under_store.h"

#include <hearth/result.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearth::master {

// The layout of keys and records as a whole. Another number in the store: the master refuses to open it.
inline constexpr std::uint64_t metadata_schema_version = 4;
// The oldest that is still read; opening such a store raises it to the current one.
inline constexpr std::uint64_t oldest_schema_version = 1;

// A point on the monotonic clock of one run of the master. Moments of earlier runs compare as past:
// after a restart nothing counts as fresh. Run 0 is "never".
struct Moment {
  std::uint64_t run = 0;
  std::int64_t ns = 0;
  auto operator<=>(const Moment&) const = default;
};

// The last complete load of a directory.
struct DirectoryLoad {
  std::uint64_t generation = 0;  // entries of this load carry it; 0 = never loaded
  Moment at;                     // when the load began asking
  std::string version;           // of the directory before the load; "" when the store has none
  std::uint64_t entries = 0;
  bool operator==(const DirectoryLoad&) const = default;
};

struct Inode {
  InodeId id;  // the key, not part of the record
  FileType type = FileType::regular;
  std::uint64_t length_bytes = 0;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t link_count = 1;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::int64_t atime_ns = 0;   // 0: the store has none
  std::uint32_t special = 0;   // FileType::other: S_IFMT bits, 0 when not known
  std::uint64_t device = 0;
  std::optional<std::uint64_t> allocated_bytes;
  std::string version;
  std::string symlink_target;
  // Mode, owner and times were given through Hearth to an object whose store keeps none: they hold as long as it has this
  // version; those of a directory as long as it is there.
  bool keeps_attributes = false;
  Moment checked;      // the under-store was asked then, and this is what it said
  DirectoryLoad load;  // directories only
  bool operator==(const Inode&) const = default;
};

struct EntryRow {
  InodeId child;
  FileType type = FileType::regular;
  std::uint64_t generation = 0;  // of the load that saw it last
  bool operator==(const EntryRow&) const = default;
};

struct AttachmentSettings {
  Duration metadata_ttl = std::chrono::seconds(1);
  std::uint64_t block_size_bytes = default_block_size_bytes;
  std::uint32_t page_size_bytes = default_page_size_bytes;
  enum class Writing : std::uint8_t { allowed, refused } writing = Writing::allowed;
  enum class ServeStale : std::uint8_t { always, until_ttl, never } serve_stale = ServeStale::always;
  enum class Placement : std::uint8_t { local_first, hash } placement = Placement::local_first;
  StoreOptions store_options;
  bool operator==(const AttachmentSettings&) const = default;
};

struct AttachmentRow {
  AttachmentId id;
  std::string path;
  std::string uri;
  AttachmentSettings settings;
  std::int64_t attached_at_ns = 0;
  InodeId root;  // where its tree hangs; reported as inode 1 when the path is "/"
  bool operator==(const AttachmentRow&) const = default;
};

// One version of the cluster's policy.
struct PolicyRow {
  std::uint64_t version = 0;  // the key, not part of the record; 0: none was applied
  std::string text;
  std::int64_t applied_at_ns = 0;
  std::string by;
  std::string comment;
  std::uint64_t restored_from = 0;  // a rollback: the version whose text this is
  bool operator==(const PolicyRow&) const = default;
};

// A rename of a directory that its store can only copy and remove, key by key (tree_moves.h). Paths are the store's.
struct MoveRow {
  std::uint64_t id = 0;  // the key, not part of the record
  AttachmentId attachment;
  std::string from;
  std::string to;
  // copying: the namespace has it under the old name. undoing: what was copied goes, and the old name stays. removing: the
  // namespace has it under the new name, and what is left under the old one goes.
  enum class Phase : std::uint8_t { copying, undoing, removing } phase = Phase::copying;
  enum class Onto : std::uint8_t { nothing, empty_directory } onto = Onto::nothing;
  std::int64_t switched_at_ns = 0;  // by the store's clock; 0: not yet, or it does not say
  bool operator==(const MoveRow&) const = default;
};

std::string encode(const Inode& inode);
std::string encode(const EntryRow& entry);
std::string encode(const AttachmentRow& attachment);
Result<Inode> decode_inode(InodeId id, std::string_view record);
Result<EntryRow> decode_entry(std::string_view record);
Result<AttachmentRow> decode_attachment(std::string_view record);
std::string encode(const MoveRow& move);
Result<MoveRow> decode_move(std::uint64_t id, std::string_view record);
std::string encode(const PolicyRow& policy);
Result<PolicyRow> decode_policy(std::uint64_t version, std::string_view record);

// Keys. Numbers are big-endian, so that byte order is number order.
std::string number_key(std::uint64_t number);
Result<std::uint64_t> number_from_key(std::string_view key);
std::string entry_key(InodeId parent, std::string_view name);
inline constexpr std::size_t entry_key_prefix_bytes = 8;

// What the under-store said, as an inode record without id and load.
Inode inode_from_object(const ObjectInfo& object, Moment checked);
// What `known` keeps of its own goes on in `fresh`, what the store says of the same object now.
void keep_attributes(const Inode& known, Inode& fresh);
// Whether everything but `checked` and `load` is the same.
bool same_attributes(const Inode& a, const Inode& b);

}  // namespace hearth::master
