#include "understore/hdfs/hdfs_store.h"

#include "common/rng.h"
#include "understore/access_probe.h"
#include "understore/byte_source.h"
#include "understore/hdfs/hdfs_options.h"
#include "understore/hdfs/owner_names.h"
#include "understore/hdfs/url_text.h"
#include "understore/hdfs/webhdfs_client.h"
#include "understore/plain_store.h"
#include "understore/store_path.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>

namespace hearth {
namespace {

using hdfs::FileStatus;
using hdfs::HdfsOptions;
using hdfs::ListingPage;
using hdfs::OwnerNames;
using hdfs::Version;
using hdfs::WebHdfsClient;

// Three requests per read at most (namenode, datanode, namenode): larger ones are cheaper per byte.
constexpr std::uint64_t preferred_read_bytes = 8ULL << 20;
constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t kept_mode_bits = 01777;  // HDFS has a sticky bit, but sets no ids
constexpr Duration time_to_clean_up = std::chrono::seconds(10);

// What a namenode says is not trusted to fit.
std::int64_t nanoseconds_of(std::int64_t ms) {
  constexpr std::int64_t most_ms = std::numeric_limits<std::int64_t>::max() / ns_per_ms;
  return ms > most_ms || ms < -most_ms ? 0 : ms * ns_per_ms;
}

// What the store and its listings share; listings may outlive the store.
struct Shared {
  Shared(HdfsOptions options, HttpClient& http, const StoreContext& context)
      : pool(context.pool), clock(context.clock),
        owners(context.pool, context.clock,
               {.fixed_uid = options.uid, .fixed_gid = options.gid, .other_uid = ::geteuid(), .other_gid = ::getegid()}),
        client(std::move(options), http, context.pool) {}

  std::string absolute(const std::string& path) const {
    const std::string& root = client.options().root;
    return path.empty() ? root : root + "/" + path;
  }
  // Of owners that owners.learn() was told of.
  ObjectInfo info_of(const FileStatus& status, std::string name) const;
  Task<ObjectInfo> named_info_of(FileStatus status, std::string name) {
    std::vector<OwnerNames::UserAndGroup> names(1, {status.owner, status.group});
    CO_CHECK_OK(co_await owners.learn(std::move(names)));
    co_return info_of(status, std::move(name));
  }

  BlockingPool& pool;
  Clock& clock;
  OwnerNames owners;
  WebHdfsClient client;
};
using SharedHandle = std::shared_ptr<Shared>;

ObjectInfo Shared::info_of(const FileStatus& status, std::string name) const {
  ObjectInfo info{.name = std::move(name),
                  .type = status.type,
                  .length_bytes = status.type == FileType::regular ? status.length_bytes : 0,
                  .mode = status.mode,
                  .uid = owners.uid(status.owner),
                  .gid = owners.gid(status.group),
                  .mtime_ns = nanoseconds_of(status.modified_ms),
                  .ctime_ns = nanoseconds_of(status.modified_ms),
                  .symlink_target = status.symlink_target};
  // A directory's mtime has milliseconds and can be set back (distcp -p): it proves nothing about its entries.
  if (status.type != FileType::directory) info.version = to_string(version_of(status));
  return info;
}

Status check_name(std::string_view path) {
  CHECK_OK(check_store_path(path));
  if (!hdfs::is_utf8(path)) {
    return Error(Code::invalid_argument, "path " + printable_path(path) + " is not UTF-8, which every name in HDFS is");
  }
  return ok();
}

Error changed(std::string_view path, std::string_view version) {
  return Error(Code::stale, printable_path(path) + " changed underneath (expected version " + std::string(version) +
                                "); open it again");
}

Error has_no_name(std::string_view path, std::string_view what, std::uint32_t number) {
  return Error(Code::permission_denied, printable_path(path) + ": owners are names in HDFS, and this host has none for " +
                                            std::string(what) + " " + std::to_string(number))
      .with_error_number(EPERM);
}

Status check_is_file(const FileStatus& status, std::string_view path) {
  switch (status.type) {
    case FileType::regular: return ok();
    case FileType::directory: return Error(Code::is_directory, printable_path(path) + " is a directory");
    case FileType::symlink: return Error(Code::symlink_loop, printable_path(path) + " is a symlink; read what it points to");
    default: return Error(Code::unsupported, printable_path(path) + " is of a type that has no content");
  }
}

class HdfsListing final : public Listing {
 public:
  HdfsListing(SharedHandle shared, std::string path, ListingPage first)
      : shared_(std::move(shared)), path_(std::move(path)), page_(std::move(first)) {}

  Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override {
    std::vector<ObjectInfo> entries;
    while (at_ == page_.entries.size() && page_.remaining > 0) {
      CO_TRY(page, co_await shared_->client.list(shared_->absolute(path_), last_, deadline));
      // Nothing new although more was promised: what remained was removed meanwhile.
      if (page.entries.empty()) page.remaining = 0;
      page_ = std::move(page);
      at_ = 0;
    }
    std::vector<OwnerNames::UserAndGroup> names;
    for (std::size_t i = at_; i < page_.entries.size() && names.size() < limit; ++i) names.emplace_back(page_.entries[i].owner, page_.entries[i].group);
    CO_CHECK_OK(co_await shared_->owners.learn(std::move(names)));
    for (; at_ < page_.entries.size() && entries.size() < limit; ++at_) {
      FileStatus& status = page_.entries[at_];
      last_ = status.suffix;
      entries.push_back(shared_->info_of(status, status.suffix));
    }
    co_return std::move(entries);
  }

 private:
  // Set once
  const SharedHandle shared_;
  const std::string path_;
  // One call at a time
  ListingPage page_;
  std::size_t at_ = 0;
  std::string last_;
};

class HdfsStore final : public PlainStore, public AccessProbe {
 public:
  explicit HdfsStore(SharedHandle shared) : uri_(shared->client.options().uri), shared_(std::move(shared)) {}

  std::string_view uri() const override { return uri_; }
  StoreCapabilities capabilities() const override {
    return {.writable = true, .writing = StoreCapabilities::Writing::staged, .listing_resumes = true, .preferred_read_bytes = preferred_read_bytes};
  }
  Task<ObjectInfo> stat(std::string path, Deadline deadline) override;
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override;
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override;
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override;
  Task<> remove(std::string path, Deadline deadline) override;
  Task<> rename(std::string from, std::string to, Deadline deadline) override;
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override;
  Task<ObjectInfo> upload(std::string path, StagedContent content, Deadline deadline) override;

  std::string endpoint() const override { return client().options().scheme + "://" + client().options().namenodes.front(); }
  std::vector<std::string> dialled() const override { return client().dialled(); }
  std::string_view endpoint_option() const override { return "http_address"; }
  Task<> greet(Deadline deadline) override { return client().greet(deadline); }
  Task<std::string> find_credentials(Deadline) override { return client().find_login(); }

 protected:
  std::string_view kind() const override { return "HDFS"; }
  Task<> rename_to_new(std::string from, std::string to, Deadline deadline) override { return move_to_new(std::move(from), std::move(to), deadline); }
  Task<ObjectInfo> keep_attributes(SetAttributes set, ObjectInfo now, Deadline deadline) override;

 private:
  using Replaces = StagedContent::Replaces;

  WebHdfsClient& client() const { return shared_->client; }
  // HDFS says "File does not exist" also of what lies beneath a file.
  Task<FileStatus> look(std::string path, Deadline deadline) const;
  // Always fails: with `missing`, or with what is wrong on the way to the path.
  Task<> explain_missing(std::string path, Error missing, Deadline deadline) const;
  Task<> check_version(std::string path, std::string version, Deadline deadline) const;
  Task<> explain_rename(std::string from, std::string to, Error failure, Deadline deadline) const;
  // Where the store only renames without overwriting: not atomic.
  Task<> remove_then_rename(std::string from, std::string to, Deadline deadline) const;
  Task<> move(std::string from, std::string to, Deadline deadline) const;
  Task<> move_to_new(std::string from, std::string to, Deadline deadline) const;
  Task<ObjectInfo> put(std::string path, ByteSource content, Replaces replaces, Deadline deadline) const;
  // Makes a file of this content and mode.
  Task<FileStatus> fill(std::string path, ByteSource content, std::optional<std::uint32_t> mode, Deadline deadline) const;

  const std::string uri_;
  const SharedHandle shared_;
};

Task<> HdfsStore::explain_missing(std::string path, Error missing, Deadline deadline) const {
  std::string parent = path;
  while (!parent.empty()) {
    parent = split_store_path(parent).parent;
    const auto status = co_await client().status(shared_->absolute(parent), deadline);
    if (!status && status.code() == Code::not_found) continue;
    if (!status) co_return status.error();
    if (status->type == FileType::directory) break;
    co_return Error(Code::not_directory, printable_path(parent) + " is not a directory");
  }
  co_return missing;
}

Task<FileStatus> HdfsStore::look(std::string path, Deadline deadline) const {
  auto status = co_await client().status(shared_->absolute(path), deadline);
  if (status || status.code() != Code::not_found) co_return status;
  CO_CHECK_OK(co_await explain_missing(path, status.error(), deadline));
  co_return status;
}

Task<ObjectInfo> HdfsStore::stat(std::string path, Deadline deadline) {
  CO_CHECK_OK(check_name(path));
  CO_TRY(status, co_await look(path, deadline));
  co_return co_await shared_->named_info_of(std::move(status), split_store_path(path).name);
}

Task<std::unique_ptr<Listing>> HdfsStore::list(std::string path, Deadline deadline) {
  CO_CHECK_OK(check_name(path));
  auto page = co_await client().list(shared_->absolute(path), "", deadline);
  if (!page && page.code() == Code::not_found) CO_CHECK_OK(co_await explain_missing(path, page.error(), deadline));
  if (!page) co_return page.error();
  const bool lists_itself = page->entries.size() == 1 && page->entries.front().suffix.empty();
  if (lists_itself) co_return Error(Code::not_directory, printable_path(path) + " is not a directory");
  std::unique_ptr<Listing> listing = std::make_unique<HdfsListing>(shared_, std::move(path), std::move(*page));
  co_return std::move(listing);
}

Task<> HdfsStore::check_version(std::string path, std::string version, Deadline deadline) const {
  CO_TRY(status, co_await look(path, deadline));
  CO_CHECK_OK(check_is_file(status, path));
  if (to_string(version_of(status)) != version) co_return changed(path, version);
  co_return ok();
}

Task<> HdfsStore::read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                       Deadline deadline) {
  CO_CHECK_OK(check_name(path));
  const auto expected = hdfs::parse_version(version);
  const bool beyond = !expected || offset > expected->length_bytes || into.size() > expected->length_bytes - offset;
  const bool by_inode = client().options().inode_paths == hdfs::InodePaths::yes;
  if (beyond || into.empty() || !by_inode) CO_CHECK_OK(co_await check_version(path, version, deadline));
  if (beyond) co_return changed(path, version);
  if (into.empty()) co_return ok();
  std::string target = by_inode ? "/.reserved/.inodes/" + std::to_string(expected->file_id) : shared_->absolute(path);
  const auto got = co_await client().open(std::move(target), offset, into, deadline);
  const bool may_be_stale = got || got.code() == Code::not_found || got.code() == Code::io_error;
  if (!may_be_stale) co_return got.error();
  // Whatever came is believed only if the path still is that file, unchanged, now.
  CO_CHECK_OK(co_await check_version(path, version, deadline));
  if (!got && got.code() == Code::not_found) {
    co_return Error(Code::unsupported, printable_path(path) + " can not be read by its inode here; attach with inode_paths=off (" +
                                           got.error().message() + ")");
  }
  if (!got) co_return got.error();
  if (*got != into.size()) {
    co_return Error(Code::corrupt, printable_path(path) + " was cut off: " + std::to_string(*got) + " bytes of " +
                                       std::to_string(into.size()) + " came");
  }
  co_return ok();
}

Task<FileStatus> HdfsStore::fill(std::string path, ByteSource content, std::optional<std::uint32_t> mode, Deadline deadline) const {
  const std::string target = shared_->absolute(path);
  std::uint64_t at = 0;
  do {
    const std::uint64_t length_bytes = std::min(hdfs_upload_piece_bytes, content.length_bytes() - at);
    CO_TRY(piece, co_await read_piece(content, at, length_bytes));
    Status sent;
    if (at == 0) {
      sent = co_await client().create(target, hdfs::Overwrite::yes, piece.bytes, deadline);
    } else {
      sent = co_await client().append(target, piece.bytes, deadline);
    }
    if (!sent && sent.code() == Code::not_found) CO_CHECK_OK(co_await explain_missing(path, sent.error(), deadline));
    if (!sent) co_return sent.error();
    at += length_bytes;
  } while (at < content.length_bytes());
  CO_TRY(status, co_await client().status(target, deadline));
  if (status.length_bytes != content.length_bytes()) {
    co_return Error(Code::corrupt, printable_path(path) + " has " + std::to_string(status.length_bytes) + " bytes where " +
                                       std::to_string(content.length_bytes()) + " were sent");
  }
  if (mode && *mode != status.mode) {
    CO_CHECK_OK(co_await client().set_permission(target, *mode, deadline));
    status.mode = *mode;
  }
  co_return std::move(status);
}

Task<ObjectInfo> HdfsStore::put(std::string path, ByteSource content, Replaces replaces, Deadline deadline) const {
  CO_CHECK_OK(check_name(path));
  if (path.empty()) co_return Error(Code::is_directory, "the root of an attachment is a directory");
  const SplitPath split = split_store_path(path);
  // HttpFS makes missing parents whatever it is told.
  CO_TRY(above, co_await look(split.parent, deadline));
  if (above.type != FileType::directory) co_return Error(Code::not_directory, printable_path(split.parent) + " is not a directory");
  const auto replaced = co_await client().status(shared_->absolute(path), deadline);
  if (!replaced && replaced.code() != Code::not_found) co_return replaced.error();
  if (replaced && replaces == Replaces::nothing) co_return Error(Code::already_exists, printable_path(path) + " exists already");
  if (replaced && replaced->type == FileType::directory) co_return Error(Code::is_directory, printable_path(path) + " is a directory");
  std::optional<std::uint32_t> mode;
  if (replaced && replaced->type == FileType::regular) mode = replaced->mode;
  std::array<char, 24> random{};
  char* const end = std::to_chars(random.data(), random.data() + random.size(), system_rng().next(), 16).ptr;
  const std::string name = ".hearth-" + std::string(random.data(), end) + ".tmp";
  const std::string temporary = split.parent.empty() ? name : split.parent + "/" + name;
  // A rename keeps id, mtime and length: what is seen here is the version of the path afterwards.
  auto status = co_await fill(temporary, std::move(content), mode, deadline);
  Status moved = status ? ok() : Status(status.error());
  if (status && replaces == Replaces::anything) moved = co_await move(temporary, path, deadline);
  if (status && replaces == Replaces::nothing) moved = co_await move_to_new(temporary, path, deadline);
  if (!moved) {
    // Best effort: where this fails too, a file named .hearth-*.tmp is left behind.
    const Deadline soon = Deadline::after(shared_->clock, time_to_clean_up);
    const auto removed = co_await client().remove(shared_->absolute(temporary), hdfs::Recursive::no, soon);
    static_cast<void>(removed);
    co_return moved.error();
  }
  co_return co_await shared_->named_info_of(std::move(*status), split.name);
}

Task<ObjectInfo> HdfsStore::write(std::string path, std::string content, Deadline deadline) {
  const ByteSource source = ByteSource::memory(std::as_bytes(std::span(content)));
  co_return co_await put(std::move(path), source, Replaces::anything, deadline);
}

Task<ObjectInfo> HdfsStore::upload(std::string path, StagedContent content, Deadline deadline) {
  const ByteSource source = ByteSource::file(content.fd, content.length_bytes, shared_->pool, printable_path(path));
  co_return co_await put(std::move(path), source, content.replaces, deadline);
}

// The old form of RENAME would put the file into a directory that stands there.
Task<> HdfsStore::move_to_new(std::string from, std::string to, Deadline deadline) const {
  const Error there(Code::already_exists, printable_path(to) + " exists already: somebody else made it meanwhile");
  const auto target = co_await client().status(shared_->absolute(to), deadline);
  if (target) co_return there;
  if (target.code() != Code::not_found) co_return target.error();
  CO_TRY(renamed, co_await client().rename(shared_->absolute(from), shared_->absolute(to), hdfs::Overwrite::no, deadline));
  if (!renamed) co_return there;
  co_return ok();
}

// Owners are names in HDFS, and a number of Hearth's options here: they are changed there.
Task<ObjectInfo> HdfsStore::keep_attributes(SetAttributes set, ObjectInfo now, Deadline deadline) {
  const std::string target = shared_->absolute(set.path);
  const bool other_user = set.uid && *set.uid != now.uid;
  const bool other_group = set.gid && *set.gid != now.gid;
  if (other_user || other_group) {
    CO_TRY(user, co_await shared_->owners.user_of(set.uid.value_or(now.uid)));
    CO_TRY(group, co_await shared_->owners.group_of(set.gid.value_or(now.gid)));
    if (other_user && user.empty()) co_return has_no_name(set.path, "user", *set.uid);
    if (other_group && group.empty()) co_return has_no_name(set.path, "group", *set.gid);
    if (!other_user) user.clear();
    if (!other_group) group.clear();
    CO_CHECK_OK(co_await client().set_owner(target, std::move(user), std::move(group), deadline));
  }
  const bool other_mode = set.mode && (*set.mode & kept_mode_bits) != now.mode;
  if (other_mode) CO_CHECK_OK(co_await client().set_permission(target, *set.mode & kept_mode_bits, deadline));
  if (set.mtime) {
    const std::int64_t ns = set.mtime->now ? shared_->clock.wall_now().time_since_epoch().count() : set.mtime->ns;
    CO_CHECK_OK(co_await client().set_times(target, ns / ns_per_ms, deadline));
  }
  if (!other_user && !other_group && !other_mode && !set.mtime) co_return std::move(now);
  co_return co_await stat(std::move(set.path), deadline);
}

Task<> HdfsStore::explain_rename(std::string from, std::string to, Error failure, Deadline deadline) const {
  CO_TRY(source, co_await look(from, deadline));
  const auto target = co_await client().status(shared_->absolute(to), deadline);
  if (!target && target.code() == Code::not_found) CO_CHECK_OK(co_await explain_missing(to, failure, deadline));
  const bool onto_directory = target && target->type == FileType::directory && source.type != FileType::directory;
  if (onto_directory) co_return Error(Code::is_directory, printable_path(to) + " is a directory");
  const bool onto_file = target && target->type != FileType::directory && source.type == FileType::directory;
  if (onto_file) co_return Error(Code::not_directory, printable_path(to) + " is not a directory");
  co_return failure;
}

Task<> HdfsStore::remove_then_rename(std::string from, std::string to, Deadline deadline) const {
  const std::string words = "can not be renamed to " + printable_path(to);
  const Error refused(Code::io_error, printable_path(from) + " " + words + "; HDFS gave no reason");
  const auto target = co_await client().status(shared_->absolute(to), deadline);
  if (!target || target->type == FileType::directory) co_return co_await explain_rename(from, to, refused, deadline);
  CO_CHECK_OK(co_await client().remove(shared_->absolute(to), hdfs::Recursive::no, deadline));
  CO_TRY(done, co_await client().rename(shared_->absolute(from), shared_->absolute(to), hdfs::Overwrite::yes, deadline));
  if (!done) co_return co_await explain_rename(from, to, refused, deadline);
  co_return ok();
}

Task<> HdfsStore::move(std::string from, std::string to, Deadline deadline) const {
  // Where the store only knows the old form of RENAME, a directory at the target would take the source into itself.
  const auto target = co_await client().status(shared_->absolute(to), deadline);
  if (target && target->type == FileType::directory) {
    CO_TRY(source, co_await look(from, deadline));
    if (source.type != FileType::directory) co_return Error(Code::is_directory, printable_path(to) + " is a directory");
    // An empty directory gives way; one that is not empty says so.
    CO_CHECK_OK(co_await client().remove(shared_->absolute(to), hdfs::Recursive::no, deadline));
  }
  auto renamed = co_await client().rename(shared_->absolute(from), shared_->absolute(to), hdfs::Overwrite::yes, deadline);
  if (renamed && *renamed) co_return ok();
  if (renamed) co_return co_await remove_then_rename(std::move(from), std::move(to), deadline);
  const Code code = renamed.code();
  const bool about_the_paths = code == Code::not_found || code == Code::io_error || code == Code::already_exists;
  if (!about_the_paths) co_return renamed.error();
  co_return co_await explain_rename(std::move(from), std::move(to), renamed.error(), deadline);
}

Task<> HdfsStore::rename(std::string from, std::string to, Deadline deadline) {
  CO_CHECK_OK(check_name(from));
  CO_CHECK_OK(check_name(to));
  if (from.empty() || to.empty()) co_return Error(Code::invalid_argument, "the root of an attachment is not renamed");
  if (to.starts_with(from + "/")) {
    co_return Error(Code::invalid_argument, printable_path(from) + " can not be moved into itself, to " + printable_path(to));
  }
  if (from == to) {
    CO_CHECK_OK(co_await look(from, deadline));
    co_return ok();
  }
  co_return co_await move(std::move(from), std::move(to), deadline);
}

Task<> HdfsStore::remove(std::string path, Deadline deadline) {
  CO_CHECK_OK(check_name(path));
  if (path.empty()) co_return Error(Code::invalid_argument, "the root of an attachment is not removed");
  CO_TRY(removed, co_await client().remove(shared_->absolute(path), hdfs::Recursive::no, deadline));
  if (removed) co_return ok();
  CO_CHECK_OK(co_await look(path, deadline));  // says why not
  co_return Error(Code::io_error, printable_path(path) + " was not removed; HDFS gave no reason");
}

Task<ObjectInfo> HdfsStore::make_directory(std::string path, std::uint32_t mode, Deadline deadline) {
  CO_CHECK_OK(check_name(path));
  // MKDIRS makes missing parents and is content with what exists; this call is not, so it looks first (not atomic).
  const auto existing = co_await client().status(shared_->absolute(path), deadline);
  if (existing) co_return Error(Code::already_exists, printable_path(path) + " exists");
  if (existing.code() != Code::not_found) co_return existing.error();
  const std::string parent = split_store_path(path).parent;
  CO_TRY(above, co_await look(parent, deadline));
  if (above.type != FileType::directory) {
    co_return Error(Code::not_directory, printable_path(parent) + " is not a directory");
  }
  CO_TRY(made, co_await client().make_directories(shared_->absolute(path), mode, deadline));
  if (!made) co_return Error(Code::io_error, printable_path(path) + " was not made; HDFS gave no reason");
  co_return co_await stat(std::move(path), deadline);
}

std::string this_user() {
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr) return "hearth";
  return found->pw_name;
}

}  // namespace

Result<std::shared_ptr<UnderStore>> open_hdfs_store(std::string_view uri, const StoreOptions& options,
                                                    const StoreContext& context) {
  TRY(parsed, hdfs::parse_hdfs_options(uri, options));
  if (context.http == nullptr) {
    return Error(Code::unsupported, "under-store " + printable_path(uri) + " needs HTTP, which this process does not have");
  }
  if (parsed.login == hdfs::Login::simple && parsed.user.empty()) parsed.user = this_user();
  auto shared = std::make_shared<Shared>(std::move(parsed), *context.http, context);
  std::shared_ptr<UnderStore> store = std::make_shared<HdfsStore>(std::move(shared));
  return store;
}

}  // namespace hearth
