// What a store tells of its changes: the paths are asked about at once, whatever their metadata_ttl.
#include "master/metadata_service.h"

#include "master/metrics.h"
#include "master/s3_events.h"

namespace hearth::master {

namespace {

constexpr std::size_t max_events_under_way = 10'000;
constexpr Duration event_deadline = std::chrono::seconds(30);

}  // namespace

Task<std::uint64_t> MetadataService::store_changed(std::vector<StoreEvent> events) {
  std::uint64_t matched = 0;
  const std::vector<AttachmentRow> rows = namespace_->attachments().all();
  for (const StoreEvent& event : events) {
    for (const AttachmentRow& row : rows) {
      const std::optional<std::string> inside = path_of_event(event, row.uri);
      if (!inside) continue;
      const Result<NamespacePath> path = NamespacePath::parse(row.path == "/" ? "/" + *inside : row.path + "/" + *inside);
      if (!path) continue;
      // The sender comes back with all of them: asking twice is harmless, forgetting one is not.
      if (events_under_way_ >= max_events_under_way) {
        co_return Error(Code::overloaded, std::to_string(events_under_way_) + " events are worked on; send this again later");
      }
      CO_CHECK_OK(tasks_.spawn(revalidate(*path, event), "store_event"));
      ++matched;
    }
  }
  metrics().counter(store_events_total, {"matched"}).add(matched);
  metrics().counter(store_events_total, {"received"}).add(events.size());
  co_return matched;
}

Task<> MetadataService::revalidate(NamespacePath path, StoreEvent event) {
  ++events_under_way_;
  const Deadline deadline = Deadline::after(parts_.clock, event_deadline);
  const Result<FileView> seen = co_await stat(path, Freshness::revalidate, deadline);
  // Where directories are implied by keys, the last key takes its directory along.
  const bool removed = event.kind == StoreEvent::Kind::removed && path.components().size() > 1;
  if (removed) {
    const NamespacePath above = path.ancestor(path.components().size() - 1);
    static_cast<void>(co_await stat(above, Freshness::revalidate, deadline));
  }
  --events_under_way_;
  const bool known = (seen && seen->source != FileView::Source::stale) || seen.code() == Code::not_found;
  if (!known) metrics().counter(store_events_total, {"unanswered"}).add();
  if (known && event.when) {
    metrics().histogram(event_staleness_seconds).observe(std::max<Duration>(parts_.clock.wall_now() - *event.when, Duration::zero()));
  }
  co_return ok();
}

}  // namespace hearth::master
