#include "master/metadata_service.h"

#include "common/log.h"
#include "understore/store_upkeep.h"

namespace hearth::master {

MetadataService::MetadataService(Parts parts, MetadataOptions options)
    : parts_(std::move(parts)),
      options_(options),
      tasks_(parts_.executor, parts_.clock),
      upkeep_(parts_.executor, parts_.clock),
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
  const TreeMoves::Parts moving{self->parts_.clock, self->parts_.store, *self->namespace_, self->stores_, self->sync_, self->board_, self->upkeep_,
                                [service = self.get()](const MoveRow& row) {
                                  if (service->news_ && service->listening_ == Listening::on) service->news_(service->news_of(row));
                                }};
  TRY(moves, TreeMoves::open(moving));
  self->moves_ = std::move(moves);
  self->kick_cleaner();
  CHECK_OK(self->upkeep_.spawn(self->sweep_stores(), "sweep_stores"));
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

// What broken-off uploads left in a bucket costs money until somebody takes it back.
Task<> MetadataService::sweep_stores() {
  for (;;) {
    CO_CHECK_OK(co_await parts_.clock.sleep_for(options_.sweep_stores_every));
    const auto stores = stores_.opened();
    for (const auto& [attachment, store] : stores) {
      const auto upkeep = std::dynamic_pointer_cast<StoreUpkeep>(store);
      if (!upkeep) continue;
      const Deadline deadline = Deadline::after(parts_.clock, options_.sweep_stores_every);
      const Result<std::uint64_t> swept = co_await upkeep->sweep(deadline);
      if (!swept && swept.code() == Code::cancelled) co_return swept.error();
      if (!swept) log_warn("under_store_not_swept", {{"uri", store->uri()}, {"why", swept.error().to_string()}});
      if (swept && *swept > 0) log_info("under_store_swept", {{"uri", store->uri()}, {"taken_back", *swept}});
    }
  }
}

Task<> MetadataService::stop(Deadline deadline) {
  upkeep_.cancel();
  CO_CHECK_OK(co_await upkeep_.join());
  tasks_.close();
  Status drained = co_await tasks_.drain(deadline);
  if (drained) co_return drained;
  log_warn("metadata_tasks_cancelled", {{"tasks", tasks_.size()}});
  tasks_.cancel();
  co_return co_await tasks_.join();
}

}  // namespace hearth::master
