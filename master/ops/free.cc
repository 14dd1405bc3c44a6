// The files known at or below a path, a turn's worth at a time: what `free` looks up in the block map.
#include "master/metadata_service.h"

namespace hearth::master {

namespace {

constexpr std::size_t files_per_turn = 500;
constexpr std::uint64_t max_blocks_of_a_file = 65536;

ResolvedView resolved(const AttachmentRow& row, std::size_t depth, const NamespacePath& path, const Inode& inode) {
  FileView file;
  file.inode = inode;
  file.attachment = row.id;
  const bool never_resolved = inode.length_bytes / row.settings.block_size_bytes > max_blocks_of_a_file;  // so never cached
  if (never_resolved) return ResolvedView{.file = std::move(file), .blocks = {}, .store_uri = row.uri, .settings = row.settings};
  return ResolvedView::of(row, path.relative_to(depth), std::move(file));
}

}  // namespace

Result<std::vector<ResolvedView>> MetadataService::cached_files(FileWalk& walk) {
  std::vector<ResolvedView> out;
  if (walk.state == FileWalk::State::fresh) {
    walk.state = FileWalk::State::under_way;
    walk.pending.emplace_back(walk.root.text(), "");
    for (const AttachmentRow& row : namespace_->attachments().all()) {
      TRY(path, NamespacePath::parse(row.path));
      if (walk.root.contains(path) && row.path != walk.root.text()) walk.pending.emplace_back(row.path, "");
    }
  }
  while (!walk.pending.empty() && out.size() < files_per_turn) {
    auto [text, after] = std::move(walk.pending.back());
    walk.pending.pop_back();
    TRY(path, NamespacePath::parse(text));
    const AttachmentRow* row = namespace_->attachments().owner(path);
    if (row == nullptr) continue;
    TRY(root, NamespacePath::parse(row->path));
    const std::size_t depth = root.components().size();
    InodeId at = row->root;
    FileType type = FileType::directory;
    std::optional<Child> leaf;
    for (std::size_t i = depth; i < path.components().size() && type == FileType::directory; ++i) {
      TRY(child, namespace_->child(at, path.components()[i]));
      if (!child || (child->entry.type != FileType::directory && i + 1 < path.components().size())) {
        type = FileType::other;
        break;
      }
      at = child->entry.child;
      type = child->entry.type;
      leaf = std::move(child);
    }
    if (type == FileType::regular && leaf) out.push_back(resolved(*row, depth, path, leaf->inode));
    if (type != FileType::directory) continue;
    if (walk.scope == FileWalk::Scope::file) {
      return Error(Code::is_directory, printable(path.text()) + " is a directory; free it recursively");
    }
    TRY(children, namespace_->children(at, after, files_per_turn));
    if (children.size() == files_per_turn) walk.pending.emplace_back(text, children.back().name);
    for (const Child& child : children) {
      const NamespacePath child_path = path.child(child.name);
      if (child.inode.type == FileType::directory) walk.pending.emplace_back(child_path.text(), "");
      if (child.inode.type == FileType::regular) out.push_back(resolved(*row, depth, child_path, child.inode));
    }
  }
  if (walk.pending.empty()) walk.state = FileWalk::State::done;
  return out;
}

}  // namespace hearth::master
