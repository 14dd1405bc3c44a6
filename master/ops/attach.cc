// attach and detach: durable before they are acknowledged.
#include "master/metadata_service.h"

#include "common/log.h"

#include <bit>

namespace hearth::master {

namespace {

Status check_settings(const AttachmentSettings& settings) {
  if (settings.block_size_bytes < min_block_size_bytes || settings.block_size_bytes > max_block_size_bytes) {
    return Error(Code::invalid_argument, "a block size of " + std::to_string(settings.block_size_bytes) +
                                             " bytes was given; it must be between 1 MiB and 16 GiB");
  }
  const std::uint32_t page = settings.page_size_bytes;
  if (page < min_page_size_bytes || page > max_page_size_bytes || !std::has_single_bit(page)) {
    return Error(Code::invalid_argument, "a page size of " + std::to_string(page) +
                                             " bytes was given; it must be a power of two between 64 KiB and 16 MiB");
  }
  if (settings.block_size_bytes % page != 0) {
    return Error(Code::invalid_argument, "the block size must be a multiple of the page size");
  }
  if (settings.metadata_ttl < Duration::zero()) {
    return Error(Code::invalid_argument, "the metadata TTL is out of range; 0 means always ask");
  }
  return ok();
}

Status check_scheme(const std::string& uri) {
  const std::size_t end = uri.find("://");
  if (end == std::string::npos || end == 0) {
    return Error(Code::invalid_argument, "\"" + printable(uri.substr(0, 512)) + "\" is not an under-store URI; write it like file:///data");
  }
  return ok();
}

// The root of the store: a directory whose entries can be read.
Task<ObjectInfo> probe_root(std::shared_ptr<UnderStore> store, Deadline deadline) {
  Result<ObjectInfo> root = co_await store->stat("", deadline);
  if (!root) co_return std::move(root).error().with_context("cannot attach " + std::string(store->uri()));
  if (root->type != FileType::directory) {
    co_return Error(Code::not_directory, "cannot attach " + std::string(store->uri()) + ": it is not a directory; attach the directory it lies in");
  }
  Result<std::unique_ptr<Listing>> listing = co_await store->list("", deadline);
  if (!listing) co_return std::move(listing).error().with_context("cannot list " + std::string(store->uri()));
  const std::shared_ptr<Listing> held = std::move(*listing);
  Result<std::vector<ObjectInfo>> first = co_await held->next(1, deadline);
  if (!first) co_return std::move(first).error().with_context("cannot list " + std::string(store->uri()));
  co_return root;
}

}  // namespace

Task<AttachmentRow> MetadataService::attach(NamespacePath path, std::string uri, AttachmentSettings settings,
                                            Deadline deadline) {
  CO_CHECK_OK(check_settings(settings));
  CO_CHECK_OK(check_scheme(uri));
  if (const AttachmentRow* taken = namespace_->attachments().at(path.text())) {
    co_return Error(Code::already_exists, printable(path.text()) + " is already attached to " + taken->uri +
                                              "; detach it first or choose another path");
  }
  if (namespace_->attachments().owner(path) != nullptr) {
    Result<FileView> covered = co_await stat(path, Freshness::cached, deadline);
    const bool is_file = covered && covered->inode.type != FileType::directory;
    if (is_file || covered.code() == Code::not_directory) {
      co_return Error(Code::not_directory, "cannot attach at " + printable(path.text()) +
                                               ": it or something above it is not a directory; choose another path");
    }
  }
  CO_TRY(store, co_await stores_.open(uri, settings.store_options, deadline));
  const Moment asked = namespace_->next_moment(parts_.clock.now());
  CO_TRY(root, co_await probe_root(store, deadline));
  AttachmentRow wanted;
  wanted.path = path.text();
  wanted.uri = uri;
  wanted.settings = settings;
  wanted.attached_at_ns = parts_.clock.wall_now().time_since_epoch().count();
  CO_TRY(row, namespace_->attach(std::move(wanted), root, asked));
  stores_.put(row.id, store);
  CO_CHECK_OK(co_await sync_.commit(deadline));
  publish_attachments();
  log_info("attached", {{"path", printable(row.path)}, {"uri", row.uri}, {"attachment", row.id.value}});
  co_return row;
}

Task<> MetadataService::detach(NamespacePath path, Deadline deadline) {
  const AttachmentRow* row = namespace_->attachments().at(path.text());
  const AttachmentId id = row == nullptr ? AttachmentId{} : row->id;
  if (row != nullptr && moves_->any_of(id)) {
    co_return Error(Code::busy, "a directory in " + printable(path.text()) + " is being renamed, key by key; detach it afterwards");
  }
  CO_CHECK_OK(namespace_->detach(path));
  stores_.forget(id);
  rooms_.erase(id);
  CO_CHECK_OK(co_await sync_.commit(deadline));
  publish_attachments();
  kick_cleaner();
  log_info("detached", {{"path", printable(path.text())}, {"attachment", id.value}});
  co_return ok();
}

}  // namespace hearth::master
