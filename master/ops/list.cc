// list: a page of a directory, in byte order, with the attachment points that hang below it.
#include "master/metadata_service.h"

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::size_t max_parallel_asks = 8;
// Beyond this many outdated entries on a page, loading the directory again costs less than asking for each.
constexpr std::size_t max_single_refreshes = 64;
constexpr std::size_t max_page_bytes = 4U << 20;

std::size_t weight_of(const Child& child) {
  return 128 + child.name.size() + child.inode.version.size() + child.inode.symlink_target.size();
}

// Names after `after`, at most `limit`.
std::vector<std::string> following(std::vector<std::string> names, const std::string& after, std::size_t limit) {
  std::erase_if(names, [&](const std::string& name) { return name <= after; });
  if (names.size() > limit) names.resize(limit);
  return names;
}

}  // namespace

Task<> MetadataService::refresh_children(Reader reader, NamespacePath path, std::vector<std::string> names) {
  std::vector<std::shared_ptr<StatFlight>> flights;
  for (std::size_t next = 0; next < names.size();) {
    flights.clear();
    for (; next < names.size() && flights.size() < max_parallel_asks; ++next) {
      const std::string store_path = path.child(names[next]).relative_to(reader.depth);
      const auto found = asks_.find({reader.attachment.id, store_path});
      flights.push_back(found != asks_.end() ? found->second : start_ask(reader.attachment.id, store_path));
    }
    for (const std::shared_ptr<StatFlight>& flight : flights) {
      CO_CHECK_OK(co_await board_.wait(flight, reader.deadline, "listing " + printable(path.text())));
      const bool vanished = !flight->outcome && flight->outcome.code() == Code::not_found;
      if (!flight->outcome && !vanished && is_away(flight->outcome.code())) co_return flight->outcome.error();
    }
  }
  co_return ok();
}

Task<std::vector<Child>> MetadataService::page_of(Reader reader, NamespacePath path, InodeId directory,
                                                  std::string after, std::size_t limit) {
  const Page page = after.empty() ? Page::first : Page::later;
  CO_CHECK_OK(co_await ensure_listed(reader, path, directory, page));
  CO_TRY(children, namespace_->children(directory, after, limit));
  if (page == Page::later || stores_.is_away(reader.attachment.id)) co_return children;
  std::vector<std::string> outdated;
  for (const Child& child : children) {
    if (!is_fresh(reader, child.checked)) outdated.push_back(child.name);
  }
  if (outdated.empty()) co_return children;
  Status refreshed;
  if (outdated.size() <= max_single_refreshes) {
    refreshed = co_await refresh_children(reader, path, std::move(outdated));
  } else {
    refreshed = co_await load_shared(reader, path.relative_to(reader.depth), directory);
  }
  const bool may_be_stale = reader.attachment.settings.serve_stale == AttachmentSettings::ServeStale::always;
  if (!refreshed && !(may_be_stale && is_away(refreshed.code()))) co_return refreshed.error();
  co_return namespace_->children(directory, after, limit);
}

Task<ListView> MetadataService::list_virtual(NamespacePath path, std::vector<std::string> overlay, std::size_t limit,
                                             Deadline deadline) {
  ListView out;
  out.directory = virtual_view(path);
  if (overlay.size() > limit) {
    overlay.resize(limit);
    out.rest = ListView::Rest::more;
  }
  for (const std::string& name : overlay) {
    Result<FileView> found = co_await stat(path.child(name), Freshness::cached, deadline);
    // The attachment point is there, whatever its store says just now.
    out.entries.emplace_back(name, found ? std::move(*found) : virtual_view(path.child(name)));
  }
  co_return out;
}

Task<ListView> MetadataService::list(NamespacePath path, std::string after, std::size_t limit, Deadline deadline) {
  const std::vector<std::string> all_overlay = namespace_->attachments().names_below(path);
  std::vector<std::string> overlay = following(all_overlay, after, limit + 1);
  CO_TRY(directory, co_await stat(path, Freshness::cached, deadline));
  if (directory.inode.type != FileType::directory) {
    co_return Error(Code::not_directory, printable(path.text()) + " is not a directory; `hearth stat` shows what it is");
  }
  const bool is_virtual = directory.attachment.value == 0;
  if (is_virtual) co_return co_await list_virtual(path, std::move(overlay), limit, deadline);
  CO_TRY(owner, still_attached(directory.attachment));
  Reader reader = reader_for(owner, Freshness::cached, deadline);
  reader.not_before = std::max(reader.not_before, moves_->since(owner.id, path.relative_to(reader.depth)));
  CO_TRY(children, co_await page_of(reader, path, directory.inode.id, after, limit + 1));
  // Where the scan ended although rows follow, attached names beyond its last row belong to the next page.
  const bool scan_was_cut = children.size() > limit;
  const std::string last_scanned = scan_was_cut ? children.back().name : std::string();
  std::erase_if(children, [&](const Child& child) {
    return std::binary_search(all_overlay.begin(), all_overlay.end(), child.name);
  });
  ListView out;
  std::size_t bytes = 0;
  auto attached = overlay.begin();
  auto child = children.begin();
  while (child != children.end() || attached != overlay.end()) {
    const bool beyond_scan = child == children.end() && scan_was_cut && *attached > last_scanned;
    if (out.entries.size() == limit || bytes > max_page_bytes || beyond_scan) break;
    const bool take_attached = attached != overlay.end() && (child == children.end() || *attached < child->name);
    if (take_attached) {
      const NamespacePath point = path.child(*attached);
      Result<FileView> found = co_await stat(point, Freshness::cached, deadline);
      out.entries.emplace_back(*attached, found ? std::move(*found) : virtual_view(point));
      ++attached;
      continue;
    }
    bytes += weight_of(*child);
    FileView entry = view(reader, path.child(child->name), std::move(child->inode), child->checked);
    // A first page was refreshed just now: what is not current could not be asked for.
    const bool should_be_fresh = after.empty() || stores_.is_away(owner.id);
    if (should_be_fresh && !is_fresh(reader, child->checked)) entry.source = FileView::Source::stale;
    out.entries.emplace_back(std::move(child->name), std::move(entry));
    ++child;
  }
  if (scan_was_cut || child != children.end() || attached != overlay.end()) out.rest = ListView::Rest::more;
  out.directory = std::move(directory);
  co_return out;
}

}  // namespace hearth::master
