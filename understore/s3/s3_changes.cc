// Writes, moves and removals of S3Store: what POSIX calls mean where directories are implied by keys.
#include "understore/s3/s3_store.h"

#include "understore/s3/parallel.h"
#include "understore/s3/s3_listing.h"
#include "understore/store_path.h"

#include <algorithm>

namespace hearth::s3 {
namespace {

// What consoles and other tools give to markers of directories.
constexpr std::string_view directory_type = "application/x-directory";
constexpr std::string_view file_type = "application/octet-stream";

Error root_is_not(std::string_view what) {
  return Error(Code::invalid_argument, "the root of an attachment can not be " + std::string(what));
}

}  // namespace

// A directory above that is an object would hide the new one: a key that is both is the file.
Task<> S3Store::check_parent(std::string path, Deadline deadline) {
  const std::string parent = split_store_path(path).parent;
  if (parent.empty()) co_return ok();
  auto object = co_await head(key_of(parent), deadline);
  if (object) co_return Error(Code::not_directory, client_.describe(key_of(parent)) + " is an object, not a directory");
  if (object.code() != Code::not_found) co_return std::move(object).error();
  co_return ok();
}

// What must not be replaced is also asked for here: not every store knows If-None-Match, and nothing is sent in vain.
Task<> S3Store::check_replaced(std::string path, StagedContent::Replaces replaces, Deadline deadline) {
  if (replaces == StagedContent::Replaces::nothing) {
    const auto there = co_await stat(path, deadline);
    if (there) co_return Error(Code::already_exists, client_.describe(key_of(path)) + " exists already");
    if (there.code() != Code::not_found) co_return there.error();
    co_return ok();
  }
  CO_TRY(page, co_await below(path, 1, deadline));
  if (!page.objects.empty()) co_return Error(Code::is_directory, client_.describe(key_of(path)) + " is a directory");
  co_return ok();
}

Task<ObjectInfo> S3Store::put_file(std::string path, ByteSource content, StagedContent::Replaces replaces, Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  if (path.empty()) co_return Error(Code::is_directory, "the root of an attachment is a directory");
  std::vector<Task<>> checks;
  checks.push_back(check_parent(path, deadline));
  checks.push_back(check_replaced(path, replaces, deadline));
  const std::size_t both = checks.size();
  CO_CHECK_OK(co_await run_parallel(std::move(checks), both));
  NewObject made{.key = key_of(path), .content_type = std::string(file_type), .content = std::move(content), .replaces = replaces};
  CO_TRY(stored, co_await objects_.put_new(std::move(made), deadline));
  ListedObject object;
  object.etag = std::move(stored.etag);
  object.length_bytes = stored.length_bytes;
  object.mtime_ns = stored.mtime_ns;
  co_return file_info(split_store_path(path).name, object);
}

Task<ObjectInfo> S3Store::write(std::string path, std::string content, Deadline deadline) {
  const ByteSource source = ByteSource::memory(as_bytes_of(content));
  co_return co_await put_file(std::move(path), source, StagedContent::Replaces::anything, deadline);
}

Task<ObjectInfo> S3Store::upload(std::string path, StagedContent content, Deadline deadline) {
  const ByteSource source = ByteSource::file(content.fd, content.length_bytes, pool_, client_.describe(key_of(path)));
  co_return co_await put_file(std::move(path), source, content.replaces, deadline);
}

Task<> S3Store::put_marker(std::string directory, Deadline deadline) {
  const auto made = co_await objects_.put(key_of(directory) + "/", Bytes(), std::string(directory_type), deadline);
  if (!made) co_return made.error();
  co_return ok();
}

// A marker is the first of all keys below. Whether others are there does not matter: they may be leaving as well.
Task<> S3Store::keep_directory(std::string directory, Deadline deadline) {
  if (directory.empty()) co_return ok();
  CO_TRY(page, co_await below(directory, 1, deadline));
  if (page.objects.empty() || page.objects.front().key == key_of(directory) + "/") co_return ok();
  co_return co_await put_marker(std::move(directory), deadline);
}

// All that there is to know of it: it is there.
Task<ObjectInfo> S3Store::directory_after(std::string path, Deadline) { co_return directory_info(split_store_path(path).name); }

Task<> S3Store::remove(std::string path, Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  if (path.empty()) co_return root_is_not("removed");
  CO_TRY(info, co_await stat(path, deadline));
  if (info.type == FileType::regular) co_return co_await objects_.erase(key_of(path), deadline);
  const std::string marker = key_of(path) + "/";
  CO_TRY(page, co_await below(path, 2, deadline));
  const bool only_marker = page.objects.size() == 1 && page.objects.front().key == marker;
  if (!only_marker && !page.objects.empty()) co_return Error(Code::not_empty, client_.describe(marker) + " is not empty");
  co_return co_await objects_.erase(marker, deadline);
}

Task<> S3Store::move_object(std::string from, std::string to, StoredObject source, Deadline deadline) {
  CO_CHECK_OK(co_await objects_.copy(from, std::move(to), std::move(source), deadline));
  co_return co_await objects_.erase(std::move(from), deadline);
}

Task<> S3Store::copy_listed(ListedObject object, std::string target, Deadline deadline) {
  if (object.key.ends_with('/') && object.length_bytes == 0) {
    // Some stores make a marker but do not copy one.
    const auto marked = co_await objects_.put(std::move(target), Bytes(), std::string(directory_type), deadline);
    if (!marked) co_return marked.error();
    co_return ok();
  }
  StoredObject source;
  source.etag = object.etag;
  source.length_bytes = object.length_bytes;
  co_return co_await objects_.copy(std::move(object.key), std::move(target), std::move(source), deadline);
}

// Not atomic, as nothing is between two keys: copies first, so that what fails in between leaves everything readable.
Task<> S3Store::move_tree(std::string from, std::string to, Deadline deadline) {
  std::vector<std::string> moved;
  ListQuery query;
  query.prefix = from;
  query.by_directory = false;
  bool more = true;
  while (more) {
    CO_TRY(page, co_await list_page(client_, query, deadline));
    std::vector<Task<>> copies;
    for (const ListedObject& object : page.objects) {
      if (!object.key.starts_with(from)) co_return Error(Code::corrupt, "the store lists " + client_.describe(object.key) + " below " + printable_path(from));
      moved.push_back(object.key);
      copies.push_back(copy_listed(object, to + object.key.substr(from.size()), deadline));
    }
    CO_CHECK_OK(co_await run_parallel(std::move(copies), client_.options().parallel));
    more = page.truncated;
    query.token = page.next_token;
  }
  co_return co_await objects_.erase_many(std::move(moved), deadline);
}

Task<> S3Store::rename(std::string from, std::string to, Deadline deadline) {
  CO_CHECK_OK(check(from, deadline));
  CO_CHECK_OK(check(to, deadline));
  if (from.empty() || to.empty()) co_return root_is_not("renamed or replaced");
  CO_TRY(source, co_await stat(from, deadline));
  if (from == to) co_return ok();
  if (to.starts_with(from + "/")) co_return Error(Code::invalid_argument, "a directory can not be moved into itself: " + printable_path(to));
  CO_CHECK_OK(co_await check_parent(to, deadline));
  auto target = co_await stat(to, deadline);
  if (!target && target.code() != Code::not_found) co_return std::move(target).error();
  const bool source_is_directory = source.type == FileType::directory;
  if (target) {
    const bool target_is_directory = target->type == FileType::directory;
    if (target_is_directory && !source_is_directory) co_return Error(Code::is_directory, client_.describe(key_of(to)) + " is a directory");
    if (!target_is_directory && source_is_directory) co_return Error(Code::not_directory, client_.describe(key_of(to)) + " is not a directory");
    // An empty directory may be replaced.
    if (target_is_directory) CO_CHECK_OK(co_await remove(to, deadline));
  }
  if (source_is_directory) co_return co_await move_tree(key_of(from) + "/", key_of(to) + "/", deadline);
  StoredObject object;
  object.etag = parse_object_version(source.version)->etag;
  object.length_bytes = source.length_bytes;
  co_return co_await move_object(key_of(from), key_of(to), std::move(object), deadline);
}

Task<ObjectInfo> S3Store::make_directory(std::string path, std::uint32_t /*mode: a bucket keeps none*/, Deadline deadline) {
  CO_CHECK_OK(check(path, deadline));
  if (path.empty()) co_return Error(Code::already_exists, "the root of an attachment exists");
  const auto there = co_await stat(path, deadline);
  if (there) co_return Error(Code::already_exists, client_.describe(key_of(path)) + " exists");
  if (there.code() != Code::not_found) co_return there.error();
  CO_CHECK_OK(co_await check_parent(path, deadline));
  CO_CHECK_OK(co_await put_marker(path, deadline));
  co_return directory_info(split_store_path(path).name);
}

Task<std::uint64_t> S3Store::sweep(Deadline deadline) {
  const std::optional<Duration> after = client_.options().sweep_uploads_after;
  if (after) co_return co_await sweep_uploads(*after, deadline);
  CO_CHECK_OK(co_await objects_.abort_leftovers(deadline));
  co_return std::uint64_t{0};
}

Task<std::uint64_t> S3Store::sweep_uploads(Duration older_than, Deadline deadline) {
  co_return co_await objects_.sweep(client_.options().prefix, older_than, deadline);
}

}  // namespace hearth::s3
