// FileSystem: what a lock means for names, attributes and the way a file is read.
#include "fuse/file_system.h"

#include "common/object_identity.h"

namespace hearth {

Result<std::string> FileSystem::lock_key(NodeId node) const {
  TRY(status, nodes_.status(node));
  const std::string attachment = std::to_string(status.attachment);
  const std::string object = object_key(status.version);
  if (!object.empty()) return attachment + ":" + object;
  TRY(path, nodes_.path(node));
  return attachment + ":" + path;
}

Status FileSystem::prepare_to_lock(NodeId node) {
  locked_places_.note(nodes_.parent(node));
  TRY(known, nodes_.status(node));
  if (!takes_changes(known) || lives_.find(node)) return ok();
  const auto live = go_live(node, LiveFile::Access::read, 0, this_process());
  // Without a worker of this host, or without a name, the version that is open is all there is.
  if (live || live.code() != Code::stale || !nodes_.has_name(node)) return ok();
  TRY(path, nodes_.path(node));
  const auto now = source_.stat(path);
  // Another file in its place is not what is locked.
  if (!now || object_key(now->version) != object_key(known.version)) return ok();
  return Error(Code::stale, path + " was changed since it was opened; open it again to lock it");
}

void FileSystem::forget_before_lock(NodeId node) {
  for (const std::string& path : nodes_.paths(node)) source_.forget(path);
}

}  // namespace hearth
