// Whole trees of keys, a page at a time: what moves of directories are made of (understore/tree_mover.h).
#include "understore/s3/s3_store.h"

#include "understore/s3/parallel.h"
#include "understore/s3/s3_listing.h"
#include "understore/store_path.h"

#include <algorithm>

namespace hearth::s3 {
namespace {

// Last-Modified has seconds in some stores, and clocks of their servers differ.
constexpr std::int64_t clock_slack_ns = 2'000'000'000;

Error strange_key(std::string_view key, std::string_view prefix) {
  return Error(Code::corrupt, "the store lists " + printable_path(key) + " below " + printable_path(prefix));
}

// A copy of the same bytes has the same ETag where that is their checksum; otherwise it has to be younger than its source.
bool is_copy(const ListedObject& source, const ListedObject& there) {
  if (there.length_bytes != source.length_bytes) return false;
  return there.etag == source.etag || there.mtime_ns > source.mtime_ns;
}

// The objects below `prefix`, in order; asked for names in order, too.
class Counterparts {
 public:
  Counterparts(std::vector<ListedObject> objects, std::string prefix) : objects_(std::move(objects)), prefix_(std::move(prefix)), at_(objects_.begin()) {}
  Counterparts(const Counterparts&) = delete;
  Counterparts& operator=(const Counterparts&) = delete;

  // The one that has the name `below`; null: none.
  const ListedObject* of(const std::string& below) {
    const auto order = [&] { return at_->key.compare(prefix_.size(), std::string::npos, below); };
    while (at_ != objects_.end() && order() < 0) ++at_;
    return at_ != objects_.end() && order() == 0 ? &*at_ : nullptr;
  }

 private:
  const std::vector<ListedObject> objects_;
  const std::string prefix_;
  std::vector<ListedObject>::const_iterator at_;
};

std::string version_of(const ListedObject& object) { return file_info("", object).version; }

}  // namespace

// Keys below `prefix` that follow `prefix + after`, one page.
Task<ListPage> S3Store::page_below(std::string prefix, std::string after, Deadline deadline) {
  ListQuery query;
  query.by_directory = false;
  if (!after.empty()) query.start_after = prefix + after;
  query.prefix = std::move(prefix);
  CO_TRY(page, co_await list_page(client_, query, deadline));
  for (const ListedObject& object : page.objects) {
    const bool follows = object.key.starts_with(query.prefix) && (after.empty() || object.key > query.start_after);
    if (!follows) co_return strange_key(object.key, query.prefix);
  }
  co_return std::move(page);
}

// What `prefix` has of the names from `after` up to `last`.
Task<std::vector<ListedObject>> S3Store::objects_between(std::string prefix, std::string after, std::string last, Deadline deadline) {
  std::vector<ListedObject> found;
  for (;;) {
    CO_TRY(page, co_await page_below(prefix, after, deadline));
    for (ListedObject& object : page.objects) {
      if (object.key.compare(prefix.size(), std::string::npos, last) > 0) co_return found;
      found.push_back(std::move(object));
    }
    if (!page.truncated || page.objects.empty()) co_return found;
    after = found.back().key.substr(prefix.size());
  }
}

Task<TreeMover::Prepared> S3Store::prepare_move(Rename rename, Deadline deadline) {
  CO_CHECK_OK(check(rename.from, deadline));
  CO_CHECK_OK(check(rename.to, deadline));
  CO_TRY(checked, co_await check_rename(std::move(rename), deadline));
  Prepared prepared;
  prepared.source = std::move(checked.source);
  prepared.replaces_directory = checked.target.has_value();
  co_return prepared;
}

Task<TreeStretch> S3Store::copy_stretch(TreePair trees, std::string after, Deadline deadline) {
  const std::string from = key_of(trees.from) + "/";
  const std::string to = key_of(trees.to) + "/";
  CO_TRY(page, co_await page_below(from, after, deadline));
  TreeStretch done;
  done.at_ns = page.at_ns;
  if (page.objects.empty()) co_return done;
  const std::string last = page.objects.back().key.substr(from.size());
  CO_TRY(there, co_await objects_between(to, after, last, deadline));
  Counterparts copies_there(std::move(there), to);
  std::vector<Task<>> copies;
  for (const ListedObject& source : page.objects) {
    const std::string below = source.key.substr(from.size());
    const ListedObject* const copy = copies_there.of(below);
    ++done.objects;
    if (copy != nullptr && is_copy(source, *copy)) {
      if (copy->etag != source.etag) done.versions.push_back({.below = below, .source = version_of(source), .copy = version_of(*copy)});
      continue;
    }
    copies.push_back(copy_listed(source, to + below, deadline));
  }
  done.changed = copies.size();
  CO_CHECK_OK(co_await run_parallel(std::move(copies), client_.options().parallel));
  if (page.truncated) done.next = last;
  co_return done;
}

// Only what is safe below `from`: what somebody else put there is not ours to remove.
Task<TreeStretch> S3Store::uncopy_stretch(TreePair trees, std::string after, Marker marker, Deadline deadline) {
  const std::string from = key_of(trees.from) + "/";
  const std::string to = key_of(trees.to) + "/";
  CO_TRY(page, co_await page_below(to, after, deadline));
  TreeStretch done;
  done.at_ns = page.at_ns;
  if (page.objects.empty()) co_return done;
  const std::string last = page.objects.back().key.substr(to.size());
  CO_TRY(sources, co_await objects_between(from, after, last, deadline));
  Counterparts sources_there(std::move(sources), from);
  std::vector<std::string> mine;
  for (const ListedObject& object : page.objects) {
    const std::string below = object.key.substr(to.size());
    const bool has_source = sources_there.of(below) != nullptr;
    ++done.objects;
    const bool stays = below.empty() && marker == Marker::stays;
    if (has_source && !stays) mine.push_back(object.key);
  }
  done.changed = mine.size();
  CO_CHECK_OK(co_await objects_.erase_many(std::move(mine), deadline));
  if (page.truncated) done.next = last;
  co_return done;
}

Task<TreeStretch> S3Store::remove_stretch(std::string directory, std::string after, std::int64_t made_before_ns, Deadline deadline) {
  CO_CHECK_OK(check(directory, deadline));
  if (directory.empty()) co_return Error(Code::invalid_argument, "the root of an attachment can not be removed");
  if (after.empty()) CO_CHECK_OK(co_await keep_directory(split_store_path(directory).parent, deadline));
  const std::string prefix = key_of(directory) + "/";
  CO_TRY(page, co_await page_below(prefix, after, deadline));
  TreeStretch done;
  done.at_ns = page.at_ns;
  if (page.objects.empty()) co_return done;
  std::vector<std::string> keys;
  for (const ListedObject& object : page.objects) {
    ++done.objects;
    const bool newer = made_before_ns != 0 && object.mtime_ns > made_before_ns + clock_slack_ns;
    if (newer) {
      ++done.kept;
    } else {
      keys.push_back(object.key);
    }
  }
  done.changed = keys.size();
  const std::string last = page.objects.back().key.substr(prefix.size());
  CO_CHECK_OK(co_await objects_.erase_many(std::move(keys), deadline));
  if (page.truncated) done.next = last;
  co_return done;
}

}  // namespace hearth::s3
