#include "understore/s3/s3_listing.h"

#include "understore/s3/metrics.h"
#include "understore/s3/s3_version.h"
#include "understore/s3/uri_encode.h"
#include "understore/store_path.h"

#include <algorithm>

namespace hearth::s3 {
namespace {

constexpr std::uint32_t file_mode = 0644;
constexpr std::uint32_t directory_mode = 0755;

Error strange_page(std::string_view prefix, std::string_view what) {
  return Error(Code::corrupt, "the listing of " + printable_path(prefix) + " " + std::string(what) + "; the store does not list as S3 does");
}

}  // namespace

ObjectInfo file_info(std::string name, const ListedObject& object) {
  ObjectInfo info;
  info.name = std::move(name);
  info.type = FileType::regular;
  info.length_bytes = object.length_bytes;
  info.mode = file_mode;
  info.mtime_ns = object.mtime_ns;
  info.ctime_ns = object.mtime_ns;
  info.version = to_string(ObjectVersion{.etag = object.etag, .length_bytes = object.length_bytes});
  return info;
}

ObjectInfo directory_info(std::string name) {
  ObjectInfo info;
  info.name = std::move(name);
  info.type = FileType::directory;
  info.mode = directory_mode;
  return info;
}

bool ListedNames::take(std::string_view name) {
  if (!check_store_path(name) || name.empty() || !is_utf8(name)) {
    ++left_out_;
    return false;
  }
  // A page that begins with the last entry of the one before.
  if (name == last_) return false;
  last_ = name;
  return true;
}

Status ListedNames::add_object(const ListedObject& object, std::deque<ObjectInfo>& entries) {
  if (!object.key.starts_with(prefix_)) return strange_page(prefix_, "has a key outside of it");
  exists_ = true;
  std::string name = object.key.substr(prefix_.size());
  if (name.empty()) return ok();  // the marker of this directory
  if (name.find('/') != std::string::npos) return strange_page(prefix_, "has a key below a deeper directory");
  if (object.etag.empty()) return strange_page(prefix_, "has an object without ETag, which is its version");
  while (!shadowing_.empty() && !name.starts_with(shadowing_.back())) shadowing_.pop_back();
  shadowing_.push_back(name);
  if (take(name)) entries.push_back(file_info(std::move(name), object));
  return ok();
}

Status ListedNames::add_prefix(const std::string& prefix, std::deque<ObjectInfo>& entries) {
  if (!prefix.starts_with(prefix_) || !prefix.ends_with('/')) return strange_page(prefix_, "has a directory outside of it");
  exists_ = true;
  std::string name = prefix.substr(prefix_.size(), prefix.size() - prefix_.size() - (prefix.size() > prefix_.size() ? 1 : 0));
  if (name.find('/') != std::string::npos) return strange_page(prefix_, "has a directory below a deeper directory");
  if (std::find(shadowing_.begin(), shadowing_.end(), name) != shadowing_.end()) {
    ++left_out_;
    return ok();
  }
  if (take(name)) entries.push_back(directory_info(std::move(name)));
  return ok();
}

Status ListedNames::add(const ListPage& page, std::deque<ObjectInfo>& entries) {
  const std::uint64_t before = left_out_;
  std::size_t object = 0;
  std::size_t prefix = 0;
  while (object < page.objects.size() || prefix < page.prefixes.size()) {
    const bool object_first = prefix == page.prefixes.size() ||
                              (object < page.objects.size() && page.objects[object].key < page.prefixes[prefix]);
    CHECK_OK(object_first ? add_object(page.objects[object++], entries) : add_prefix(page.prefixes[prefix++], entries));
  }
  if (left_out_ > before) metrics().counter(described::unreachable_keys_total).add(left_out_ - before);
  return ok();
}

Task<ListPage> list_page(S3Client& client, ListQuery query, Deadline deadline) {
  S3Request request;
  request.operation = "ListObjectsV2";
  request.query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(query.max_keys)}};
  if (!query.prefix.empty()) request.query.emplace_back("prefix", query.prefix);
  if (query.by_directory) request.query.emplace_back("delimiter", "/");
  if (!query.token.empty()) request.query.emplace_back("continuation-token", query.token);
  if (!query.start_after.empty()) request.query.emplace_back("start-after", query.start_after);
  CO_TRY(reply, co_await client.send(std::move(request), deadline));
  auto page = parse_list_page(reply.body);
  if (!page) co_return std::move(page).error().with_context("ListObjectsV2 " + client.describe(query.prefix));
  if (page->truncated && page->next_token == query.token) co_return strange_page(query.prefix, "names itself as its next page");
  page->at_ns = parse_http_time_ns(reply.head.header("date").value_or("")).value_or(0);
  co_return std::move(*page);
}

Task<> S3Listing::fill(Deadline deadline) {
  while (entries_.empty() && !done_) {
    ListQuery query;
    query.prefix = prefix_;
    query.token = token_;
    CO_TRY(page, co_await list_page(client_, std::move(query), deadline));
    CO_CHECK_OK(names_.add(page, entries_));
    token_ = page.next_token;
    done_ = !page.truncated;
  }
  co_return ok();
}

Task<std::vector<ObjectInfo>> S3Listing::next(std::size_t limit, Deadline deadline) {
  CO_CHECK_OK(co_await fill(deadline));
  std::vector<ObjectInfo> batch;
  const std::size_t count = std::min(limit, entries_.size());
  batch.reserve(count);
  std::move(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(count), std::back_inserter(batch));
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(count));
  co_return batch;
}

}  // namespace hearth::s3
