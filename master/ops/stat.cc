// stat: what a path is, as current as its attachment asks for.
#include "master/metadata_service.h"

#include <algorithm>

namespace hearth::master {

namespace {

Error absent(const NamespacePath& path, const AttachmentRow& row) {
  return Error(Code::not_found, printable(path.text()) + " does not exist in " + row.uri);
}

}  // namespace

MetadataService::Reader MetadataService::reader_for(const AttachmentRow& row, Freshness freshness, Deadline deadline) {
  Moment not_before = namespace_->next_moment(parts_.clock.now());
  const bool always_ask = freshness == Freshness::revalidate ||
                          (row.settings.serve_stale == AttachmentSettings::ServeStale::never && stores_.is_away(row.id));
  if (!always_ask) not_before.ns -= row.settings.metadata_ttl.count();
  const std::size_t depth = row.path == "/" ? 0 : static_cast<std::size_t>(std::count(row.path.begin(), row.path.end(), '/'));
  return Reader{row, depth, not_before, freshness, deadline};
}

bool MetadataService::is_fresh(const Reader& reader, Moment checked) const {
  return checked.run == reader.not_before.run && checked.ns >= reader.not_before.ns;
}

FileView MetadataService::view(const Reader& reader, const NamespacePath& path, Inode inode, Moment checked) const {
  FileView out;
  out.reported_id = path.is_root() ? root_inode : inode.id;
  out.inode = std::move(inode);
  out.attachment = reader.attachment.id;
  out.writing = reader.attachment.settings.writing;
  if (checked.run == namespace_->run()) {
    const Duration ttl = reader.attachment.settings.metadata_ttl;
    const TimePoint until = TimePoint(Duration(checked.ns)) + ttl;
    out.ttl = std::clamp<Duration>(until - parts_.clock.now(), Duration::zero(), ttl);
  }
  return out;
}

FileView MetadataService::virtual_view(const NamespacePath& path) const {
  FileView out;
  out.reported_id = namespace_->virtual_inode(path.text());
  out.inode.id = out.reported_id;
  out.inode.type = FileType::directory;
  out.inode.mode = 0755;
  out.inode.link_count = 2;
  out.inode.version = "v" + std::to_string(namespace_->attachments_version());
  out.ttl = options_.default_metadata_ttl;
  return out;
}

Result<bool> MetadataService::names_are_fresh(const Reader& reader, const Inode& directory) {
  if (directory.load.generation == 0) return false;
  if (is_fresh(reader, directory.load.at)) return true;
  return is_fresh(reader, directory.checked) && !directory.version.empty() &&
         directory.version == directory.load.version &&
         stores_.capabilities(reader.attachment.id).directory_version_tracks_entries;
}

Result<MetadataService::Lookup> MetadataService::lookup(const Reader& reader, const NamespacePath& path) {
  const std::vector<std::string>& components = path.components();
  InodeId parent = reader.attachment.root;
  for (std::size_t i = reader.depth; i + 1 < components.size(); ++i) {
    TRY(entry, namespace_->entry(parent, components[i]));
    if (entry && entry->type == FileType::directory) {
      parent = entry->child;
      continue;
    }
    TRY(middle, lookup_leaf(reader, path.ancestor(i + 1), parent));
    middle.known.reset();  // nothing is known of the path itself
    if (middle.answer && *middle.answer) {
      middle.answer = Error(Code::not_directory, printable(path.ancestor(i + 1).text()) + " is not a directory, so " +
                                                     printable(path.text()) + " cannot exist");
    }
    return middle;
  }
  return lookup_leaf(reader, path, parent);
}

Result<MetadataService::Lookup> MetadataService::lookup_leaf(const Reader& reader, const NamespacePath& path,
                                                             InodeId parent) {
  Lookup out;
  out.ask = path.relative_to(reader.depth);
  out.parent = parent;
  if (path.components().size() == reader.depth) {
    TRY(root, namespace_->inode(reader.attachment.root));
    out.checked = root.checked;
    out.known = root;
  } else {
    TRY(child, namespace_->child(parent, path.components().back()));
    if (child) {
      out.checked = child->checked;
      out.known = std::move(child->inode);
    }
  }
  if (out.known) {
    if (is_fresh(reader, out.checked)) out.answer = Result<Inode>(*out.known);
    return out;
  }
  const std::optional<Moment> absent_at = negatives_.find(reader.attachment.id, out.ask);
  if (absent_at && is_fresh(reader, *absent_at)) {
    out.answer = absent(path, reader.attachment);
    return out;
  }
  TRY(directory, namespace_->inode(parent));
  TRY(complete, names_are_fresh(reader, directory));
  if (complete) out.answer = absent(path, reader.attachment);
  return out;
}

Result<FileView> MetadataService::stale_view(const Reader& reader, const NamespacePath& path, const Lookup& found,
                                             Error error) const {
  if (!is_away(error.code()) || !found.known ||
      reader.attachment.settings.serve_stale != AttachmentSettings::ServeStale::always) {
    return error;
  }
  FileView out = view(reader, path, *found.known, Moment());
  out.source = FileView::Source::stale;
  return out;
}

Task<FileView> MetadataService::stat_in(Reader reader, NamespacePath path) {
  reader.not_before = std::max(reader.not_before, moves_->since(reader.attachment.id, path.relative_to(reader.depth)));
  // Each round either answers or makes one more component of the path known.
  const std::size_t rounds = 2 * path.components().size() + 4;
  for (std::size_t round = 0; round < rounds; ++round) {
    CO_TRY(found, lookup(reader, path));
    if (found.answer) {
      CO_TRY(inode, std::move(*found.answer));
      co_return view(reader, path, std::move(inode), found.checked);
    }
    Reader asking = reader;
    const bool may_be_stale =
        found.known && reader.attachment.settings.serve_stale == AttachmentSettings::ServeStale::always;
    if (may_be_stale) {
      const TimePoint now = parts_.clock.now();
      const TimePoint tried = stores_.away_since_last_try(reader.attachment.id);
      if (tried != TimePoint::min() && now - tried < options_.retry_store_every &&
          reader.freshness == Freshness::cached) {
        co_return stale_view(reader, path, found, Error(Code::unavailable, reader.attachment.uri + " does not answer"));
      }
      asking.deadline = reader.deadline.sooner_of(Deadline::at(now + options_.stale_after));
    }
    const bool is_leaf = found.ask == path.relative_to(reader.depth);
    if (is_leaf) list_ahead(reader, found);
    Result<Inode> answer = co_await ask(asking, found.ask);
    if (answer && is_leaf) {
      const Moment checked = answer->checked;
      co_return view(reader, path, std::move(*answer), checked);
    }
    if (answer || answer.code() == Code::stale) continue;  // an ancestor is known now, or moved: look again
    if (answer.code() == Code::not_found) co_return absent(path, reader.attachment);
    co_return stale_view(reader, path, found, std::move(answer).error());
  }
  co_return Error(Code::unavailable, printable(path.text()) + " keeps changing while it is being looked up; try again");
}

Task<FileView> MetadataService::stat(NamespacePath path, Freshness freshness, Deadline deadline) {
  const AttachmentRow* owner = namespace_->attachments().owner(path);
  const bool leads_to_attachments = path.is_root() || namespace_->attachments().has_below(path);
  if (owner == nullptr) {
    if (leads_to_attachments) co_return virtual_view(path);
    co_return Error(Code::not_found, printable(path.text()) + " does not exist: nothing is attached there; see `hearth attach`");
  }
  Reader reader = reader_for(*owner, freshness, deadline);
  const bool is_attachment_root = path.components().size() == reader.depth;
  Result<FileView> found = co_await stat_in(reader, path);
  if (leads_to_attachments && !is_attachment_root && (!found || found->inode.type != FileType::directory)) {
    co_return virtual_view(path);
  }
  co_return found;
}

}  // namespace hearth::master
