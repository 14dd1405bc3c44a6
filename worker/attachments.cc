#include "worker/attachments.h"

#include "common/log.h"

#include <algorithm>
#include <utility>

namespace hearth::worker {

WorkerAttachments::WorkerAttachments(Executor executor, BlockingPool& pool, StoreOpener opener, AttachmentLimits limits)
    : executor_(std::move(executor)), pool_(pool), opener_(std::move(opener)), limits_(limits) {}

void WorkerAttachments::replace(std::vector<AttachedStore> attachments, std::uint64_t version) {
  std::unordered_map<AttachmentId, std::shared_ptr<Entry>> next;
  for (AttachedStore& attached : attachments) {
    const AttachmentId id = attached.id;
    const auto known = entries_.find(id);
    if (known != entries_.end() && known->second->what == attached) {
      next[id] = known->second;
      continue;
    }
    log_info("attachment_known", {{"attachment", id.value}, {"uri", attached.uri}});
    auto entry = std::make_shared<Entry>();
    entry->what = std::move(attached);
    next[id] = std::move(entry);
  }
  for (const auto& [id, entry] : entries_) {
    if (!next.contains(id)) log_info("attachment_gone", {{"attachment", id.value}, {"uri", entry->what.uri}});
  }
  entries_ = std::move(next);
  version_ = version;
}

Error WorkerAttachments::unknown(AttachmentId id) const {
  return Error(Code::not_found, "attachment " + std::to_string(id.value) +
                                    " is not one that the master has; resolve the path again");
}

std::string WorkerAttachments::path_of(const BlockRef& block) const {
  const auto found = entries_.find(block.attachment);
  if (found == entries_.end()) return {};
  const std::string& base = found->second->what.path;
  if (block.store_path.empty()) return base;
  return base.ends_with('/') ? base + block.store_path : base + '/' + block.store_path;
}

std::optional<std::string> WorkerAttachments::named_store(const Entry& entry, const BlockRef& block) {
  const BlockSpan span{block.start.value, block.length_bytes, block.page_size_bytes};
  const auto named_by = [&](std::string_view uri) -> std::optional<std::string> {
    std::string store = store_identity(uri, entry.what.options);
    if (block_id(store, block.store_path, block.version, span) == block.id) return store;
    return std::nullopt;
  };
  std::optional<std::string> store = named_by(entry.what.uri);
  if (!store && entry.store) store = named_by(entry.store->store->uri());
  return store;
}

std::optional<BlockRef> WorkerAttachments::block_at(const BlockRef& block, std::uint64_t offset) const {
  const auto found = entries_.find(block.attachment);
  if (found == entries_.end() || offset >= block.file_length_bytes()) return std::nullopt;
  const std::optional<std::string> store = named_store(*found->second, block);
  if (!store) return std::nullopt;
  BlockRef other = block;
  const std::uint64_t block_size = found->second->what.block_size_bytes;
  other.start = FileOffset{offset - offset % block_size};
  other.length_bytes = std::min(block_size, block.file_length_bytes() - other.start.value);
  other.id = block_id(*store, block.store_path, block.version,
                      BlockSpan{other.start.value, other.length_bytes, block.page_size_bytes});
  return other;
}

std::optional<WorkerAttachments::Place> WorkerAttachments::place_of(const std::string& path) const {
  std::optional<Place> best;
  for (const auto& [id, entry] : entries_) {
    const std::string root = entry->what.path == "/" ? std::string() : entry->what.path;
    const bool inside = path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
    if (!inside || (best && best->attachment.path.size() > entry->what.path.size())) continue;
    best = Place{.attachment = entry->what, .store_path = path.size() == root.size() ? std::string() : path.substr(root.size() + 1)};
  }
  return best;
}

bool WorkerAttachments::leads_to_another(const std::string& path) const {
  return std::any_of(entries_.begin(), entries_.end(), [&path](const auto& one) {
    return one.second->what.path.size() > path.size() && one.second->what.path.starts_with(path + "/");
  });
}

bool WorkerAttachments::places_at_reader(AttachmentId id) const {
  const auto found = entries_.find(id);
  return found != entries_.end() && found->second->what.placement == AttachedStore::Placement::at_reader;
}

Status WorkerAttachments::check(const BlockRef& block) const {
  const auto found = entries_.find(block.attachment);
  if (found == entries_.end()) return unknown(block.attachment);
  const Entry& entry = *found->second;
  const std::uint64_t block_size = entry.what.block_size_bytes;
  const std::string advice = "; resolve the path again";
  if (block.page_size_bytes != entry.what.page_size_bytes) {
    return Error(Code::invalid_argument, "block " + block.id.to_hex() + " has pages of " +
                                             std::to_string(block.page_size_bytes) + " bytes, its attachment says " +
                                             std::to_string(entry.what.page_size_bytes) + advice);
  }
  if (block.start.value % block_size != 0 || block.length_bytes > block_size) {
    return Error(Code::invalid_argument, "block " + block.id.to_hex() + " is not cut at the attachment's block size of " +
                                             std::to_string(block_size) + " bytes" + advice);
  }
  if (block.length_bytes != std::min(block_size, block.file_length_bytes() - block.start.value)) {
    return Error(Code::invalid_argument, "block " + block.id.to_hex() + " of " + std::to_string(block.length_bytes) +
                                             " bytes is not how a file of " + std::to_string(block.file_length_bytes()) +
                                             " bytes is cut" + advice);
  }
  // A store that spells its URI otherwise is known by that once it is open; the fetch that opens it asks again.
  if (named_store(entry, block) || !entry.store) return ok();
  return Error(Code::invalid_argument, "block " + block.id.to_hex() + " is not the id of " + block.store_path +
                                           " in attachment " + std::to_string(block.attachment.value) + advice);
}

std::uint64_t WorkerAttachments::idle_reads(AttachmentId id) const {
  const auto found = entries_.find(id);
  return found == entries_.end() || !found->second->store ? 0 : found->second->store->reads.idle();
}

std::uint32_t WorkerAttachments::pages_per_read(const UnderStore& store, std::uint32_t page_size_bytes) {
  const std::uint64_t pages = store.capabilities().preferred_read_bytes / std::max(page_size_bytes, 1U);
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pages, 1, max_pages_per_read));
}

std::uint32_t WorkerAttachments::pages_per_read(AttachmentId id) const {
  const auto found = entries_.find(id);
  if (found == entries_.end() || !found->second->store) return 1;
  return pages_per_read(*found->second->store->store, found->second->what.page_size_bytes);
}

Task<std::shared_ptr<OpenStore>> WorkerAttachments::open(AttachmentId id) {
  if (closed_) co_return Error(Code::cancelled, "the worker is stopping; ask another worker");
  const auto found = entries_.find(id);
  if (found == entries_.end()) co_return unknown(id);
  std::shared_ptr<Entry> entry = found->second;
  if (entry->store) co_return entry->store;
  if (entry->opening) {
    Status waited = co_await Event::wait(entry->opening);
    if (!waited) co_return std::move(waited).error();
    if (entry->store) co_return entry->store;
    co_return entry->why_not;
  }

  auto opened_event = std::make_shared<Event>(executor_);
  entry->opening = opened_event;
  StoreOpener opener = opener_;
  std::string uri = entry->what.uri;
  std::function<Result<std::shared_ptr<UnderStore>>()> work = [opener, uri, options = entry->what.options] {
    return opener(uri, options);
  };
  Result<std::shared_ptr<UnderStore>> opened = co_await pool_.run<std::shared_ptr<UnderStore>>(work);
  entry->opening.reset();
  if (opened) {
    std::shared_ptr<UnderStore> store = std::move(opened).value();
    // The bound is on pages; where one request brings several, as many requests as elsewhere.
    const std::uint64_t at_once = limits_.reads_at_once * pages_per_read(*store, entry->what.page_size_bytes);
    entry->store = std::make_shared<OpenStore>(std::move(store), executor_, at_once, limits_.max_waiting);
  } else {
    entry->why_not = std::move(opened).error().with_context("opening " + uri);
    log_warn("under_store_unopened", {{"uri", uri}, {"why", entry->why_not.to_string()}});
  }
  opened_event->set();
  if (entry->store) co_return entry->store;
  co_return entry->why_not;
}

void WorkerAttachments::close() {
  closed_ = true;
  for (auto& [id, entry] : entries_) {
    if (entry->store) entry->store->reads.close();
  }
  entries_.clear();
}

}  // namespace hearth::worker
