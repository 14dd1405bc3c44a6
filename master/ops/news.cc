// What is new about a name when an answer about it is recorded.
#include "master/metadata_service.h"

#include "common/object_identity.h"

namespace hearth::master {

namespace {

std::string path_in_namespace(const AttachmentRow& row, const std::string& store_path) {
  if (store_path.empty()) return row.path;
  return row.path == "/" ? "/" + store_path : row.path + "/" + store_path;
}

// Reading a file is no change of it. The mark of a directory that had changed just before says nothing of its attributes.
bool looks_the_same(Inode before, const Inode& after) {
  before.atime_ns = after.atime_ns;
  const bool marks_count = after.type != FileType::directory;
  if (!marks_count && without_nonce(before.version) == without_nonce(after.version)) before.version = after.version;
  return before.id == after.id && same_attributes(before, after);
}

}  // namespace

std::vector<NameNews> MetadataService::news_of(const MoveRow& move) const {
  const AttachmentRow* row = namespace_->attachments().by_id(move.attachment);
  std::vector<NameNews> news;
  if (row == nullptr) return news;
  news.push_back({.path = path_in_namespace(*row, move.from), .state = NameNews::State::gone, .reach = NameNews::Reach::tree});
  news.push_back({.path = path_in_namespace(*row, move.to), .state = NameNews::State::there, .reach = NameNews::Reach::tree});
  for (const std::string* path : {&move.from, &move.to}) {
    const std::size_t name = path->rfind('/');
    news.push_back({.path = path_in_namespace(*row, name == std::string::npos ? "" : path->substr(0, name))});
  }
  return news;
}

std::optional<Inode> MetadataService::known_inode(const AttachmentRow& row, const std::string& store_path) {
  const Result<NamespacePath> path = NamespacePath::parse("/" + store_path);
  if (!path) return std::nullopt;
  if (path->components().empty()) {
    Result<Inode> root = namespace_->inode(row.root);
    return root ? std::optional(std::move(*root)) : std::nullopt;
  }
  const Result<std::optional<InodeId>> parent = parent_of(row, path->components());
  if (!parent || !*parent) return std::nullopt;
  Result<std::optional<Child>> child = namespace_->child(**parent, path->components().back());
  if (!child || !*child) return std::nullopt;
  return std::move((*child)->inode);
}

Result<Inode> MetadataService::record_and_tell(AttachmentId attachment, const std::string& store_path, Result<ObjectInfo> answer,
                                               Moment asked, Learned how, std::vector<NameNews>& news) {
  const AttachmentRow* row = namespace_->attachments().by_id(attachment);
  if (row == nullptr || listening_ == Listening::off) return record_answer(attachment, store_path, std::move(answer), asked);
  const std::optional<Inode> before = known_inode(*row, store_path);
  NameNews one{.path = path_in_namespace(*row, store_path)};
  Result<Inode> after = record_answer(attachment, store_path, std::move(answer), asked);
  const bool gone = !after && (after.code() == Code::not_found || after.code() == Code::not_directory);
  if (!after && !gone) return after;
  // Of what the master never knew, no client knows anything, but that it was absent.
  const bool differs = before ? gone || !looks_the_same(*before, *after) : !gone && how != Learned::by_question;
  if (!differs && how != Learned::by_change) return after;
  if (gone) one.state = NameNews::State::gone;
  const bool was_directory = before && before->type == FileType::directory;
  if (was_directory && (gone || before->id != after->id)) one.reach = NameNews::Reach::tree;
  news.push_back(std::move(one));
  return after;
}

}  // namespace hearth::master
