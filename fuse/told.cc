// FileSystem: notices of changes that were made elsewhere.
#include "fuse/file_system.h"

#include <utility>

namespace hearth {
namespace {

// A root whose attributes the kernel has not asked for has none to drop. It must not lose the answer to its first question:
// until then the kernel takes it for a directory that nobody may enter.
KernelWork work_for(std::vector<NodeTable::Told> told, bool root_is_known) {
  KernelWork work;
  for (NodeTable::Told& one : told) {
    if (one.node == root_node && !root_is_known) continue;
    // Of a cached version no page is ever wrong; a file that is open in place, and where a symlink leads, change under theirs.
    const bool pages = one.content == NodeTable::Content::live || one.type == EntryType::symlink;
    work.nodes.emplace_back(one.node, pages ? KernelCache::Drop::pages : KernelCache::Drop::attributes);
    for (NodeTable::Name& name : one.names) work.names.push_back(std::move(name));
  }
  return work;
}

}  // namespace

KernelWork FileSystem::told(const ChangeNotice& notice) {
  if (notice.scope == ChangeNotice::Scope::everything) epochs_.told_all();
  for (const ChangeNotice::Path& one : notice.paths) {
    one.reach == ChangeNotice::Path::Reach::tree ? epochs_.told_all() : epochs_.told(one.path);
  }
  return told_again(notice, TimePoint::min());
}

KernelWork FileSystem::told_again(const ChangeNotice& notice, TimePoint since) {
  if (notice.scope == ChangeNotice::Scope::everything) return work_for(nodes_.tell_all(since), root_asked_);
  KernelWork work;
  for (const ChangeNotice::Path& one : notice.paths) {
    KernelWork more = work_for(nodes_.tell(one.path, one.reach, since), root_asked_);
    work.nodes.insert(work.nodes.end(), more.nodes.begin(), more.nodes.end());
    for (NodeTable::Name& name : more.names) work.names.push_back(std::move(name));
    if (options_.negative_timeout == Duration::zero()) continue;
    if (auto absent = nodes_.place_of(one.path)) work.names.push_back(std::move(*absent));
  }
  return work;
}

Status FileSystem::confirm(NodeId node) {
  if (!nodes_.was_told(node)) return ok();
  // Open in place: it may have lost its name and is opened by its descriptor (/proc/self/fd). Its names were expired.
  if (lives_.find(node)) return ok();
  const auto path = nodes_.path(node);
  if (!path) return ok();  // removed in this mount: nothing of another name
  const auto status = source_.stat(*path);
  if (!status && status.code() != Code::not_found) return ok();  // what is known is served, or fails by itself
  if (status && nodes_.refresh(node, *status)) return ok();
  counters_.stale_open();
  return Error(Code::stale, *path + " has another version now; open it again");
}

Result<NodeEntry> FileSystem::enter(NodeId parent, std::string_view name, FileStatus status, ToldEpochs::Moment asked) {
  TRY(entry, enter(parent, name, std::move(status)));
  if (!epochs_.told_since(asked)) return entry;
  nodes_.set_told(entry.node);
  entry.entry_timeout = Duration::zero();
  entry.attr_timeout = Duration::zero();
  return entry;
}

}  // namespace hearth
