// Loading a directory: its entries stream from the under-store into the namespace in turns, so that a
// directory of a million names neither lives in memory nor keeps others waiting.
#include "master/metadata_service.h"

#include "common/log.h"
#include "master/metrics.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <utility>

namespace hearth::master {

namespace {

constexpr std::size_t sweep_rows = 2000;
constexpr std::size_t reap_rows = 500;
constexpr Duration trim_after = std::chrono::minutes(1);  // what was asked for since is kept; also the pause between trims
// A listing that goes on (`after` given) may use the load it began with for this long.
constexpr Duration continuation_window = std::chrono::minutes(10);

}  // namespace

Task<> MetadataService::give_turn() {
  co_await asio::post(parts_.executor, asio::use_awaitable);
  co_return ok();
}

Task<> MetadataService::ensure_listed(Reader reader, NamespacePath path, InodeId directory, Page page) {
  CO_TRY(known, namespace_->inode(directory));
  CO_TRY(fresh, names_are_fresh(reader, known));
  if (fresh) co_return ok();
  const bool loaded = known.load.generation != 0;
  const Moment oldest{reader.not_before.run, reader.not_before.ns - continuation_window.count()};
  if (page == Page::later && loaded && known.load.at >= oldest) co_return ok();
  const bool may_be_stale =
      loaded && reader.attachment.settings.serve_stale == AttachmentSettings::ServeStale::always;
  const TimePoint tried = stores_.away_since_last_try(reader.attachment.id);
  if (may_be_stale && tried != TimePoint::min() && parts_.clock.now() - tried < options_.retry_store_every) co_return ok();
  Status listed = co_await load_shared(reader, path.relative_to(reader.depth), directory);
  if (!listed && may_be_stale && is_away(listed.code())) co_return ok();
  co_return listed;
}

void MetadataService::list_ahead(const Reader& reader, const Lookup& asking) {
  const StoreCapabilities store = stores_.capabilities(reader.attachment.id);
  const bool listing_is_cheap = !store.has_directories && store.listing_resumes;
  if (asking.ask.empty() || reader.freshness != Freshness::cached || !listing_is_cheap) return;
  if (!list_ahead_.asked(asking.parent, parts_.clock.now(), reader.attachment.settings.metadata_ttl)) return;
  if (loads_.contains(asking.parent)) return;
  const auto name = asking.ask.rfind('/');
  std::string directory = name == std::string::npos ? std::string() : asking.ask.substr(0, name);
  Reader nobody = reader;
  nobody.deadline = Deadline::never();
  loads_ahead_.insert(asking.parent);
  const Status spawned = tasks_.spawn(load_ahead(std::move(nobody), std::move(directory), asking.parent), "list_ahead");
  if (!spawned) loads_ahead_.erase(asking.parent);
}

Task<> MetadataService::load_ahead(Reader reader, std::string store_path, InodeId directory) {
  const Status loaded = co_await load_shared(std::move(reader), std::move(store_path), directory);
  loads_ahead_.erase(directory);
  if (!loaded) list_ahead_.broken_off(directory, parts_.clock.now());
  co_return ok();  // nobody waits for it; who needs an answer asks
}

Task<> MetadataService::load_shared(Reader reader, std::string store_path, InodeId directory) {
  for (;;) {
    std::shared_ptr<Flight<>> flight;
    const auto found = loads_.find(directory);
    if (found != loads_.end()) {
      flight = found->second;
      loads_ahead_.erase(directory);  // someone waits for the whole of it now
    } else {
      flight = std::make_shared<Flight<>>(namespace_->next_moment(parts_.clock.now()));
      loads_[directory] = flight;
      const Status spawned = tasks_.spawn(run_load(reader.attachment.id, store_path, directory, flight), "load_directory");
      if (!spawned) {
        loads_.erase(directory);
        co_return Error(Code::unavailable, "the master is shutting down; ask again when it is back");
      }
    }
    const bool recent = is_fresh(reader, flight->started);
    const std::string what = "loading the directory " + printable(store_path) + " of " + reader.attachment.uri;
    const Status waited = co_await board_.wait(flight, reader.deadline, what);
    if (!waited) co_return waited;
    if (recent) co_return flight->outcome;
  }
}

Task<> MetadataService::run_load(AttachmentId attachment, std::string store_path, InodeId directory,
                                 std::shared_ptr<Flight<>> flight) {
  Status loaded = co_await load_directory(attachment, store_path, directory);
  loads_.erase(directory);
  directory_loads().add();
  flight->land(std::move(loaded));
  kick_cleaner();
  co_return ok();
}

Task<> MetadataService::load_directory(AttachmentId attachment, std::string store_path, InodeId directory) {
  const Deadline deadline = Deadline::after(parts_.clock, options_.store_deadline);
  CO_TRY(row, still_attached(attachment));
  CO_TRY(store, co_await stores_.of(attachment, row.uri, row.settings.store_options, deadline));
  // The version of before the listing: a change while it runs makes the next comparison fail.
  const Moment asked = namespace_->next_moment(parts_.clock.now());
  Result<ObjectInfo> object = co_await store->stat(store_path, deadline);
  const std::string version = object ? object->version : std::string();
  CO_TRY(current, record_answer(attachment, store_path, std::move(object), asked));
  if (current.type != FileType::directory) {
    co_return Error(Code::not_directory, printable(store_path) + " in " + row.uri + " is not a directory");
  }
  if (current.id != directory) co_return Error(Code::stale, printable(store_path) + " was replaced; list it again");
  CO_TRY(begun, namespace_->begin_load(directory, version, asked));
  const auto load = std::make_shared<LoadProgress>(std::move(begun));
  const LoadPlace place{attachment, store_path};
  Status loaded = co_await load_entries(store, place, load);
  if (loaded) loaded = co_await sweep_load(place, load);
  if (!loaded) {
    namespace_->abandon_load(*load);
    if (is_store_wide(loaded.code())) stores_.did_not_answer(attachment, parts_.clock.now());
    co_return loaded;
  }
  CO_TRY(finished, namespace_->finish_load(*load));
  log_debug("directory_loaded", {{"path", printable(store_path)}, {"entries", finished.load.entries}});
  co_return ok();
}

std::shared_ptr<MetadataService::BatchFlight> MetadataService::start_batch(const std::shared_ptr<Listing>& listing) {
  auto flight = std::make_shared<BatchFlight>(namespace_->next_moment(parts_.clock.now()));
  const Status spawned = tasks_.spawn(run_batch(listing, flight), "list_batch");
  if (!spawned) flight->land(Error(Code::unavailable, "the master is shutting down; ask again when it is back"));
  return flight;
}

// Shared with the load, which may have ended for another reason before the store answers.
Task<> MetadataService::run_batch(std::shared_ptr<Listing> listing, std::shared_ptr<BatchFlight> flight) {
  const Deadline deadline = Deadline::after(parts_.clock, options_.store_deadline);
  Result<std::vector<ObjectInfo>> batch = co_await listing->next(options_.load_batch, deadline);
  flight->land(std::move(batch));
  co_return ok();
}

// What was renamed meanwhile is listed by another name: a listing of the old one says nothing of it.
Status MetadataService::still_there(const LoadPlace& place, const LoadProgress& load) const {
  if (load.started >= moves_->since(place.first, place.second)) return ok();
  return Error(Code::stale, printable(place.second) + " was renamed while it was listed; list it again");
}

Task<> MetadataService::load_entries(std::shared_ptr<UnderStore> store, LoadPlace place, std::shared_ptr<LoadProgress> load) {
  const std::string store_path = place.second;
  // A listing may have asked for its entries in the call before the one that hands them out.
  Moment before = namespace_->next_moment(parts_.clock.now());
  CO_TRY(listed, co_await store->list(store_path, Deadline::after(parts_.clock, options_.store_deadline)));
  const std::shared_ptr<Listing> listing = std::move(listed);
  std::shared_ptr<BatchFlight> flight = start_batch(listing);
  for (;;) {
    CO_CHECK_OK(co_await board_.wait(flight, Deadline::never(), "listing " + printable(store_path)));
    if (!flight->outcome) co_return flight->outcome.error();
    const Moment asked = std::exchange(before, flight->started);
    const std::vector<ObjectInfo> batch = std::move(flight->outcome).value();
    if (batch.empty()) co_return ok();
    if (load->entries >= ListAhead::max_entries && loads_ahead_.contains(load->directory)) {
      co_return Error(Code::overloaded, "too many entries to list for nobody");
    }
    flight = start_batch(listing);  // the store makes the next ones while these are written down
    for (std::size_t begin = 0; begin < batch.size(); begin += options_.turn_rows) {
      const std::size_t end = std::min(batch.size(), begin + options_.turn_rows);
      std::vector<ObjectInfo> turn(batch.begin() + static_cast<std::ptrdiff_t>(begin),
                                   batch.begin() + static_cast<std::ptrdiff_t>(end));
      CO_CHECK_OK(still_there(place, *load));
      const std::string above = store_path.empty() ? "" : store_path + "/";
      std::erase_if(turn, [&](const ObjectInfo& object) { return moves_->hides(place.first, above + object.name); });
      CO_CHECK_OK(namespace_->load_batch(*load, turn, asked));
      CO_CHECK_OK(co_await give_turn());
    }
  }
}

Task<> MetadataService::sweep_load(LoadPlace place, std::shared_ptr<LoadProgress> load) {
  for (;;) {
    CO_CHECK_OK(still_there(place, *load));
    CO_TRY(swept, namespace_->sweep(*load, sweep_rows));
    if (swept == Namespace::Sweep::done) co_return ok();
    CO_CHECK_OK(co_await give_turn());
  }
}

bool MetadataService::must_trim() const {
  return namespace_->inode_count() > options_.max_inodes && parts_.clock.now() >= next_trim_;
}

void MetadataService::kick_cleaner() {
  if (cleaner_ == Cleaner::running || !(namespace_->has_orphans() || must_trim())) return;
  cleaner_ = Cleaner::running;
  const Status spawned = tasks_.spawn(clean(), "clean_metadata");
  if (!spawned) cleaner_ = Cleaner::idle;
}

// Deletes what replaced, vanished and detached directories left behind; the rest of the time belongs to requests.
Task<> MetadataService::clean() {
  Status result = ok();
  for (;;) {
    const Result<Namespace::Sweep> step = namespace_->reap(reap_rows);
    if (!step) result = step.error();
    if (!step || *step == Namespace::Sweep::done || tasks_.closed()) break;
    const Status turned = co_await give_turn();
    if (!turned) break;
  }
  if (result && must_trim()) result = co_await trim();
  cleaner_ = Cleaner::idle;
  co_return result;
}

// Over the bound: forgets files that nobody asked about lately, until there is room again or all were looked at.
Task<> MetadataService::trim() {
  Moment horizon = namespace_->next_moment(parts_.clock.now());
  horizon.ns -= trim_after.count();
  next_trim_ = parts_.clock.now() + trim_after;
  const std::uint64_t before = namespace_->inode_count();
  std::string cursor;
  while (!tasks_.closed() && namespace_->inode_count() > options_.max_inodes) {
    CO_TRY(step, namespace_->trim(cursor, reap_rows, horizon));
    if (step == Namespace::Sweep::done) break;
    CO_CHECK_OK(co_await give_turn());
  }
  log_info("metadata_trimmed", {{"inodes_before", before}, {"inodes_after", namespace_->inode_count()}, {"max_inodes", options_.max_inodes}});
  co_return ok();
}

}  // namespace hearth::master
