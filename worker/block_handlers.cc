#include "worker/block_handlers.h"

#include "common/block_wire.h"
#include "common/log.h"
#include "proto/hearth.pb.h"
#include "worker/master_link.h"
#include "worker/page_run.h"
#include "worker/wire.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth::worker {

namespace {
constexpr std::size_t max_status_blocks = 65'536;
constexpr std::size_t max_reports_kept = 256;
constexpr Duration insist_within = std::chrono::minutes(1);
// Loading is work in the background: it takes a quarter of the turns at the under-store, readers find the rest.
constexpr std::uint32_t load_window_share = 4;
}  // namespace

Task<ServerReply> BlockHandlers::load(std::shared_ptr<ServerCall> call) {
  proto::LoadRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(block, block_from_wire(request.block()));
  CO_CHECK_OK(check_range(block, request.offset_bytes(), request.length_bytes()));
  const Deadline deadline = call->deadline();
  Status admitted = co_await admit_block(service_, block, deadline);
  if (!admitted) co_return std::move(admitted).error();

  PageRunOptions options = run_options(service_, block);
  options.window = std::max(options.window / load_window_share, 1U);
  options.keep = Keep::required;
  options.interest = Interest::reader;  // of the loader: when it leaves, the rest of the window is not fetched
  options.verify = Verify::no;
  PageRun run(service_.tiers, service_.fetcher, service_.counters, block, request.offset_bytes(),
              request.length_bytes(), options);
  proto::LoadReply body;
  Executor executor = co_await asio::this_coro::executor;
  while (!run.done()) {
    if (deadline.expired(service_.clock.now())) {
      co_return Error(Code::deadline_exceeded, "loading " + block.store_path + " was not finished in time; " +
                                                   std::to_string(body.loaded_bytes()) + " bytes were loaded");
    }
    // A loader may have no deadline of its own; a page has.
    const Deadline page_deadline = Deadline::after(service_.clock, 2 * service_.options.fetch_timeout);
    Result<PagePiece> next = co_await run.next(deadline.sooner_of(page_deadline));
    if (!next) co_return std::move(next).error();
    if (next->source != Source::store) {
      body.set_already_bytes(body.already_bytes() + next->length_bytes);
      co_await asio::post(executor, asio::use_awaitable);  // resident pages must not hold up the other calls
      continue;
    }
    if (!next->bytes.in_tier()) {
      co_return Error(Code::no_space, "no room to keep " + block.store_path +
                                          ": the tiers are full of leased, pinned or busy blocks; release some");
    }
    body.set_loaded_bytes(body.loaded_bytes() + next->length_bytes);
  }
  co_return reply_with(body);
}

Task<ServerReply> BlockHandlers::free_blocks(std::shared_ptr<ServerCall> call) {
  proto::FreeBlocksRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(ids, block_ids_from_wire(request.block_ids()));
  proto::FreeBlocksReply body;
  for (const BlockId& id : ids) {
    if (!service_.tiers.residency(id).present) continue;
    const std::uint64_t freed = service_.tiers.free_block(id);
    body.set_blocks(body.blocks() + 1);
    body.set_bytes(body.bytes() + freed);
  }
  if (body.blocks() != 0) service_.master.note_changes();
  co_return reply_with(body);
}

Task<std::uint64_t> BlockHandlers::drop_wrong_pages(BlockRef block) {
  std::uint64_t wrong = 0;
  Executor executor = co_await asio::this_coro::executor;
  for (std::uint32_t page = 0; page < block.page_count(); ++page) {
    std::optional<PageView> view = service_.tiers.find(block, PageIndex{page});
    if (!view) {
      const PageIndex index{page};
      if (!service_.tiers.on_device(block, index)) continue;
      // Reading is comparing there: what is wrong is dropped.
      const std::uint64_t before = service_.counters.corrupt_pages();
      const Deadline deadline = Deadline::after(service_.clock, service_.options.fetch_timeout);
      co_await service_.tiers.read_page(block, index, Keep::never, deadline);
      wrong += service_.counters.corrupt_pages() - before;
      continue;
    }
    const Status sound = BlockStore::verify(*view, 0, view->bytes().size());
    view.reset();  // a page that is being viewed can only go with its whole block
    if (!sound) {
      wrong += 1;
      service_.counters.corrupt_found();
      service_.tiers.drop_corrupt(block.id, PageIndex{page});
    }
    co_await asio::post(executor, asio::use_awaitable);  // a page takes about 70 us; others come in between
  }
  co_return wrong;
}

bool BlockHandlers::insists(const BlockId& block) {
  const TimePoint now = service_.clock.now();
  while (!found_right_.empty() && (now - found_right_.front().second > insist_within ||
                                   found_right_.size() >= max_reports_kept)) {
    found_right_.pop_front();
  }
  const auto same = [&block](const auto& report) { return report.first == block; };
  const auto before = std::find_if(found_right_.begin(), found_right_.end(), same);
  if (before == found_right_.end()) {
    found_right_.emplace_back(block, now);
    return false;
  }
  found_right_.erase(before);
  return true;
}

Task<ServerReply> BlockHandlers::report_corrupt(std::shared_ptr<ServerCall> call) {
  proto::ReportCorruptRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  CO_TRY(block, block_from_wire(request.block()));
  Result<std::uint64_t> wrong = co_await drop_wrong_pages(block);
  if (!wrong) co_return std::move(wrong).error();
  std::string action = "none: every page matches its checksum here";
  if (*wrong != 0) {
    action = "dropped the wrong pages";
  } else if (insists(block.id)) {
    service_.tiers.free_block(block.id);
    action = "dropped the block: reported twice";
  }
  log_error("corruption_reported", {{"block", block.id.to_hex()}, {"path", block.store_path},
                                    {"offset_bytes", request.offset_bytes()}, {"client", call->peer().address},
                                    {"wrong_pages", *wrong}, {"action", action}});
  service_.master.note_changes();
  co_return reply_with(proto::ReportCorruptReply());
}

Task<ServerReply> BlockHandlers::block_status(std::shared_ptr<ServerCall> call) {
  proto::BlockStatusRequest request;
  CO_CHECK_OK(parse_body(*call, request));
  if (static_cast<std::size_t>(request.blocks_size()) > max_status_blocks) {
    co_return Error(Code::invalid_argument, "more than 65536 blocks in one status request; cut it");
  }
  proto::BlockStatusReply body;
  for (const proto::BlockRef& asked : request.blocks()) {
    CO_TRY(block, block_from_wire(asked));
    const BlockResidency residency = service_.tiers.residency(block);
    proto::BlockStatus& status = *body.add_blocks();
    status.set_present(residency.present);
    status.set_resident_bytes(residency.resident_bytes);
    status.set_complete(residency.complete);
    status.set_leases(residency.leases);
    status.set_tier(service_.tiers.where(block.id));
    status.set_packed(service_.tiers.packed_place(block.id).has_value());
  }
  co_return reply_with(body);
}

}  // namespace hearth::worker
