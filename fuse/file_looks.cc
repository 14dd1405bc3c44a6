// FileSystem: what a file is now, where it is, and who is told.
#include "fuse/file_system.h"

#include "common/log.h"
#include "common/object_identity.h"

#include <utility>

namespace hearth {

void FileSystem::note_replaced(const std::string& path, const FileStatus& known) {
  if (!object_key(known.version).empty()) opened_ahead_.note_replaced(path, real_clock().now());
}

Result<std::string> FileSystem::path_now(NodeId node) const {
  if (const LiveFiles::Handle live = lives_.find(node)) {
    if (auto path = live->path_now()) return std::move(*path);
  }
  return nodes_.path(node);
}

Result<FileStatus> FileSystem::look_again(NodeId node, Wrote wrote) {
  TRY(known, nodes_.status(node));
  TRY(now, path_now(node));
  const auto ask = [&](const std::string& path) {
    return source_.change(LookAgain{.path = path, .wrote = wrote == Wrote::yes}, this_process());
  };
  TRY(changed, ask(now));
  const bool is_it = changed.status && object_key(changed.status->version) == object_key(known.version);
  const auto named = nodes_.path(node);
  if (!is_it && named && *named != now) {
    TRY(there, ask(*named));
    if (there.status && (!changed.status || object_key(there.status->version) == object_key(known.version))) changed = std::move(there);
  }
  if (!changed.status) return Error(Code::stale, now + " was removed");
  nodes_.refresh(node, *changed.status);
  if (changed.status->link_count > 1) names_changed(node, wrote);
  return std::move(*changed.status);
}

void FileSystem::lost_a_name(NodeId node) {
  if (nodes_.has_name(node)) static_cast<void>(look_again(node, Wrote::yes));
}

void FileSystem::names_changed(NodeId node, Wrote wrote) {
  const std::vector<std::string> paths = nodes_.paths(node);
  if (paths.size() == 1) return source_.forget(paths.front());
  for (const std::string& path : paths) {
    static_cast<void>(source_.change(LookAgain{.path = path, .wrote = wrote == Wrote::yes}, this_process()));
  }
}

// A file that loses its last name while it is open is read on, and written, until it is closed.
void FileSystem::hold_if_open(NodeId parent, std::string_view name) {
  const auto node = nodes_.find(parent, name);
  if (!node || modes_.handles(*node) == 0 || lives_.find(*node)) return;
  const auto held = go_live(*node, LiveFile::Access::read, 0, this_process());
  if (!held) log_debug("fuse_open_file_not_held", {{"path", path_of(*node)}, {"reason", held.error().message()}});
}

// A change of names or attributes gives a file a new version with the same content.
void FileSystem::adopt(NodeId node, const Changed& changed) {
  if (!changed.status) return;
  const auto known = nodes_.status(node);
  if (!known || lives_.find(node)) return;
  const bool same = known->type == EntryType::directory ||
                    (object_key(known->version) == object_key(changed.status->version) &&
                     without_nonce(known->version) == without_nonce(changed.version_before));
  if (same) nodes_.adopt(node, *changed.status);
}

Result<std::optional<NodeAttributes>> FileSystem::attributes_past_the_path(NodeId node, FileStatus known) {
  if (const LiveFiles::Handle live = lives_.find(node)) {
    constexpr Duration timeout = std::chrono::seconds(1);  // bounds how late a change from elsewhere shows
    TRY(now, live->status(std::move(known)));
    if (live->is_staged() && !nodes_.has_name(node)) now.link_count = 0;
    return std::optional(NodeAttributes{std::move(now), std::min<Duration>(timeout, options_.attr_timeout)});
  }
  if (!nodes_.has_name(node)) {  // removed in this mount, and somebody still stands in it
    known.link_count = 0;
    constexpr std::uint64_t removed = 1ULL << 63;  // the store may give its number to another one
    known.inode |= removed;
    return std::optional(NodeAttributes{std::move(known), options_.attr_timeout});
  }
  if (known.link_count > 1 && known.type != EntryType::directory) {
    TRY(now, look_again(node, Wrote::no));
    const Duration timeout = std::min<Duration>(now.ttl, options_.attr_timeout);
    return std::optional(NodeAttributes{std::move(now), timeout});
  }
  return std::optional<NodeAttributes>();
}

}  // namespace hearth
