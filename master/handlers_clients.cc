// MasterService: what clients ask.
#include "master/master_service.h"
#include "master/run_on.h"
#include "master/wire.h"

#include "common/block_wire.h"
#include "common/log.h"

#include <algorithm>

namespace hearth::master {

namespace {

constexpr std::uint32_t default_page_entries = 1000;
constexpr std::uint32_t max_page_entries = 4096;
constexpr int max_located_blocks = 65536;

Freshness freshness_of(bool revalidate) { return revalidate ? Freshness::revalidate : Freshness::cached; }

// Another tree stands there now.
std::vector<NameNews> news_of_tree(const NamespacePath& path, NameNews::State state) {
  std::vector<NameNews> news;
  news.push_back(NameNews{.path = path.text(), .state = state, .reach = NameNews::Reach::tree});
  const std::size_t depth = path.components().size();
  if (depth > 0) news.push_back(NameNews{.path = path.ancestor(depth - 1).text()});
  return news;
}

}  // namespace

MasterService::Answer MasterService::stat(Call call) {
  CO_TRY(request, parse_body<proto::StatRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  const Freshness freshness = freshness_of(request.revalidate());
  proto::StatReply reply;
  if (request.for_opening() && check_tenant(request.tenant())) {
    CO_TRY(found, co_await run_on(parts_.names, parts_.metadata.stat_for_opening(std::move(path), freshness, deadline)));
    to_wire(found.file, *reply.mutable_info());
    if (found.store_uri.empty()) co_return reply_with(reply);
    put_resolved(found, request.tenant(), *reply.mutable_resolved());
    reply.mutable_resolved()->clear_info();
    co_return reply_with(reply);
  }
  CO_TRY(file, co_await run_on(parts_.names, parts_.metadata.stat(std::move(path), freshness, deadline)));
  to_wire(file, *reply.mutable_info());
  co_return reply_with(reply);
}

MasterService::Answer MasterService::list(Call call) {
  CO_TRY(request, parse_body<proto::ListRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  const std::size_t limit =
      request.limit() == 0 ? default_page_entries : std::min(request.limit(), max_page_entries);
  CO_TRY(page, co_await run_on(parts_.names,
                               parts_.metadata.list(std::move(path), request.after(), limit, deadline)));
  proto::ListReply reply;
  to_wire(page.directory, *reply.mutable_directory());
  for (auto& [name, file] : page.entries) {
    proto::DirectoryEntry& entry = *reply.add_entries();
    entry.set_name(std::move(name));
    to_wire(file, *entry.mutable_info());
  }
  reply.set_more(page.rest == ListView::Rest::more);
  co_return reply_with(reply);
}

MasterService::Answer MasterService::resolve(Call call) {
  CO_TRY(request, parse_body<proto::ResolveRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  const Freshness freshness = freshness_of(request.revalidate());
  Status tenant = check_tenant(request.tenant());
  if (!tenant) co_return std::move(tenant).error().with_context("resolving " + printable(request.path().substr(0, 256)));
  CO_TRY(found, co_await run_on(parts_.names, parts_.metadata.resolve(std::move(path), freshness, deadline)));
  proto::ResolveReply reply;
  put_resolved(found, request.tenant(), reply);
  co_return reply_with(reply);
}

void MasterService::put_resolved(ResolvedView& found, const std::string& tenant, proto::ResolveReply& reply) const {
  to_wire(found.file, *reply.mutable_info());
  for (BlockRef& block : found.blocks) {
    block.file.tenant = tenant;
    block_to_wire(block, *reply.add_blocks());
    to_wire(membership_.locations(block.id), *reply.add_locations());
  }
  reply.set_store_uri(found.store_uri);
  to_wire(found.settings, *reply.mutable_options());
  reply.set_worker_table_version(membership_.table_version());
}

MasterService::Answer MasterService::locate(Call call) {
  CO_TRY(request, parse_body<proto::LocateRequest>(*call));
  if (request.blocks_size() > max_located_blocks) {
    co_return Error(Code::invalid_argument, "a locate request names more than 65536 blocks; ask in parts");
  }
  proto::LocateReply reply;
  for (const proto::BlockRef& block : request.blocks()) {
    to_wire(membership_.locations(block_id_from_wire(block)), *reply.add_locations());
  }
  reply.set_worker_table_version(membership_.table_version());
  co_return reply_with(reply);
}

MasterService::Answer MasterService::workers(Call call) {
  CO_TRY(request, parse_body<proto::WorkersRequest>(*call));
  proto::WorkersReply reply;
  for (const WorkerRow& worker : membership_.rows(parts_.clock.now())) to_wire(worker, *reply.add_workers());
  reply.set_worker_table_version(membership_.table_version());
  co_return reply_with(reply);
}

MasterService::Answer MasterService::attach(Call call) {
  CO_TRY(request, parse_body<proto::AttachRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  AttachmentSettings settings;
  settings.metadata_ttl = options_.default_metadata_ttl;
  if (request.has_options()) {
    CO_TRY(wanted, settings_from_wire(request.options()));
    settings = wanted;
  }
  std::vector<NameNews> news = news_of_tree(path, NameNews::State::there);
  CO_TRY(row, co_await run_on(parts_.names, parts_.metadata.attach(std::move(path), request.uri(), settings, deadline)));
  CO_CHECK_OK(co_await tell(std::move(news), call->connection()));
  proto::AttachReply reply;
  to_wire(row, *reply.mutable_attachment());
  co_return reply_with(reply);
}

MasterService::Answer MasterService::detach(Call call) {
  CO_TRY(request, parse_body<proto::DetachRequest>(*call));
  CO_TRY(path, NamespacePath::parse(request.path()));
  const Deadline deadline = bounded_deadline(*call, parts_.clock);
  std::vector<NameNews> news = news_of_tree(path, NameNews::State::gone);
  CO_CHECK_OK(co_await run_on(parts_.names, parts_.metadata.detach(std::move(path), deadline)));
  CO_CHECK_OK(co_await tell(std::move(news), call->connection()));
  const proto::DetachReply reply;
  co_return reply_with(reply);
}

MasterService::Answer MasterService::attachments(Call call) {
  CO_TRY(request, parse_body<proto::AttachmentsRequest>(*call));
  proto::AttachmentsReply reply;
  for (const AttachmentRow& row : attachments_.rows) to_wire(row, *reply.add_attachments());
  reply.set_table_version(attachments_.version);
  co_return reply_with(reply);
}

MasterService::Answer MasterService::bad_location(Call call) {
  CO_TRY(request, parse_body<proto::BadLocationReport>(*call));
  const BlockId block = block_id_from_wire(request.block());
  membership_.bad_location(block, WorkerId{request.worker_id()});
  log_info("bad_location", {{"block", block.to_hex()},
                            {"worker", request.worker_id()},
                            {"code", request.code()},
                            {"why", printable(request.why().substr(0, 512))}});
  const proto::BadLocationReply reply;
  co_return reply_with(reply);
}

MasterService::Answer MasterService::master_status(Call call) {
  CO_TRY(request, parse_body<proto::MasterStatusRequest>(*call));
  CO_TRY(now, co_await snapshot());
  proto::MasterStatusReply reply;
  reply.set_version(now.version);
  reply.set_started_at_ns(now.started_at_ns);
  reply.set_inode_count(now.inode_count);
  reply.set_block_location_count(now.block_location_count);
  reply.set_attachment_count(now.attachment_count);
  reply.set_live_workers(now.live_workers);
  reply.set_lost_workers(now.lost_workers);
  reply.set_cluster_id(now.cluster_id);
  co_return reply_with(reply);
}

}  // namespace hearth::master
