// Questions to under-stores about one path: asked once at a time, recorded in the namespace.
#include "master/metadata_service.h"

#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace hearth::master {

namespace {

std::vector<std::string> split(const std::string& store_path) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  while (begin < store_path.size()) {
    std::size_t end = store_path.find('/', begin);
    if (end == std::string::npos) end = store_path.size();
    out.push_back(store_path.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

}  // namespace

Result<AttachmentRow> MetadataService::still_attached(AttachmentId id) const {
  const AttachmentRow* row = namespace_->attachments().by_id(id);
  if (row == nullptr) return Error(Code::not_found, "the attachment was detached meanwhile");
  return *row;
}

std::shared_ptr<MetadataService::StatFlight> MetadataService::start_ask(AttachmentId attachment,
                                                                        const std::string& store_path) {
  auto flight = std::make_shared<StatFlight>(namespace_->next_moment(parts_.clock.now()));
  asks_[{attachment, store_path}] = flight;
  const Status spawned = tasks_.spawn(run_ask(attachment, store_path, flight), "ask_under_store");
  if (!spawned) {
    asks_.erase({attachment, store_path});
    flight->land(Error(Code::unavailable, "the master is shutting down; ask again when it is back"));
  }
  return flight;
}

Task<Inode> MetadataService::ask(Reader reader, std::string store_path) {
  for (;;) {
    const auto found = asks_.find({reader.attachment.id, store_path});
    const bool useful =
        found != asks_.end() && (!found->second->landed() || is_fresh(reader, found->second->started));
    std::shared_ptr<StatFlight> flight = useful ? found->second : start_ask(reader.attachment.id, store_path);
    // A question put before this request's horizon may carry an answer that is too old: let it land, ask again.
    const bool recent = is_fresh(reader, flight->started);
    const Status waited = co_await board_.wait(flight, reader.deadline, "asking " + reader.attachment.uri);
    if (!waited) co_return waited.error();
    if (recent) co_return flight->outcome;
  }
}

Task<> MetadataService::run_ask(AttachmentId attachment, std::string store_path, std::shared_ptr<StatFlight> flight) {
  const Deadline deadline = Deadline::after(parts_.clock, options_.store_deadline);
  Result<ObjectInfo> answer;
  const Result<AttachmentRow> row = still_attached(attachment);
  if (row) {
    Result<std::shared_ptr<UnderStore>> store = co_await stores_.of(attachment, row->uri, row->settings.store_options, deadline);
    if (store) {
      answer = co_await (*store)->stat(store_path, deadline);
    } else {
      answer = std::move(store).error();
    }
  } else {
    answer = row.error();
  }
  std::vector<NameNews> news;
  Result<Inode> recorded = record_and_tell(attachment, store_path, std::move(answer), flight->started, Learned::by_question, news);
  if (!news.empty() && news_) news_(std::move(news));
  flight->land(std::move(recorded));
  kick_cleaner();
  // Those who waited for the question before this one have their turn first: this answer is recent enough for them all.
  co_await asio::post(asio::use_awaitable);
  const auto mine = asks_.find({attachment, store_path});
  if (mine != asks_.end() && mine->second == flight) asks_.erase(mine);
  co_return ok();
}

Result<std::optional<InodeId>> MetadataService::parent_of(const AttachmentRow& row,
                                                          const std::vector<std::string>& components) {
  InodeId parent = row.root;
  for (std::size_t i = 0; i + 1 < components.size(); ++i) {
    TRY(entry, namespace_->entry(parent, components[i]));
    if (!entry || entry->type != FileType::directory) return std::optional<InodeId>();
    parent = entry->child;
  }
  return std::optional<InodeId>(parent);
}

Result<Inode> MetadataService::record_answer(AttachmentId attachment, const std::string& store_path,
                                             Result<ObjectInfo> answer, Moment asked) {
  TRY(row, still_attached(attachment));
  if (!answer && is_away(answer.code())) {
    if (is_store_wide(answer.code())) stores_.did_not_answer(attachment, parts_.clock.now());
    return std::move(answer).error().with_context("under-store " + row.uri);
  }
  stores_.answered(attachment);
  if (asked < moves_->since(attachment, store_path)) {
    return Error(Code::stale, printable(store_path) + " was renamed, or renamed over, while it was asked about");
  }
  if (answer && moves_->hides(attachment, store_path)) answer = Error(Code::not_found, printable(store_path) + " is not there: it is being moved");
  const std::vector<std::string> components = split(store_path);
  if (components.empty()) {
    if (!answer) return std::move(answer).error().with_context("the root of " + row.uri);
    return namespace_->upsert_root(row.root, *answer, asked);
  }
  TRY(parent, parent_of(row, components));
  const bool proves_absence =
      !answer && (answer.code() == Code::not_found || answer.code() == Code::not_directory);
  if (!parent) {
    if (!answer) return std::move(answer).error();
    return Error(Code::stale, "a directory above " + printable(store_path) + " went away meanwhile");
  }
  if (proves_absence) {
    CHECK_OK(namespace_->remove(*parent, components.back(), asked));
    negatives_.put(attachment, store_path, asked);
  }
  if (!answer) return std::move(answer).error();
  negatives_.erase(attachment, store_path);
  return namespace_->upsert(*parent, components.back(), *answer, asked);
}

}  // namespace hearth::master
