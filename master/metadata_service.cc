#include "master/metadata_service.h"

#include "common/log.h"

namespace hearth::master {

MetadataService::MetadataService(Parts parts, MetadataOptions options)
    : parts_(std::move(parts)),
      options_(options),
      tasks_(parts_.executor, parts_.clock),
      board_(parts_.executor, parts_.clock),
      sync_(parts_.store, parts_.sync_pool, tasks_, board_),
      stores_(parts_.store_pool, parts_.open_store, board_, options_.store_calls_at_once),
      negatives_(options.negative_entries) {}

MetadataService::~MetadataService() = default;

Result<std::unique_ptr<MetadataService>> MetadataService::open(Parts parts, MetadataOptions options,
                                                               std::uint64_t fresh_cluster_id) {
  TRY(tree, Namespace::open(parts.store, fresh_cluster_id));
  TRY(policies, PolicyStore::open(parts.store));
  std::unique_ptr<MetadataService> self(new MetadataService(std::move(parts), options));
  self->namespace_ = std::move(tree);
  self->policies_ = std::move(policies);
  self->kick_cleaner();
  return self;
}

void MetadataService::on_attachments_changed(std::function<void(AttachmentsView)> handler) {
  attachments_changed_ = std::move(handler);
  publish_attachments();
}

void MetadataService::publish_attachments() {
  if (!attachments_changed_) return;
  attachments_changed_(AttachmentsView{namespace_->attachments().all(), namespace_->attachments_version()});
}

Task<> MetadataService::stop(Deadline deadline) {
  tasks_.close();
  Status drained = co_await tasks_.drain(deadline);
  if (drained) co_return drained;
  log_warn("metadata_tasks_cancelled", {{"tasks", tasks_.size()}});
  tasks_.cancel();
  co_return co_await tasks_.join();
}

}  // namespace hearth::master
