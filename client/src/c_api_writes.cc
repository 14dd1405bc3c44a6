// The C functions that change files (hearth/hearth_writing.h).
#include "client/src/c_api.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace hearth {
namespace {

// See c_api.cc: programs that are compiled already know these.
static_assert(sizeof(hearth_caller) == 40 && offsetof(hearth_caller, groups) == 8 && offsetof(hearth_caller, group_count) == 16 &&
              offsetof(hearth_caller, uid) == 24 && offsetof(hearth_caller, gid) == 28 && offsetof(hearth_caller, umask) == 32);
static_assert(sizeof(hearth_space) == 80 && offsetof(hearth_space, free_bytes) == 8 && offsetof(hearth_space, available_bytes) == 16 &&
              offsetof(hearth_space, files) == 24 && offsetof(hearth_space, free_files) == 32 && offsetof(hearth_space, known) == 40 &&
              offsetof(hearth_space, without_limit) == 44);
constexpr std::size_t first_caller_size = 40;

Result<Caller> caller_of(const hearth_caller* given) {
  if (given == nullptr) return caller_of_this_process();
  CHECK_OK(c_api::check_size(given, given->size, {"hearth_caller", first_caller_size, sizeof *given}));
  if (given->reserved != 0) return Error(Code::invalid_argument, "hearth_caller has a reserved field that is not 0; fill it with hearth_caller_init() first");
  if (given->groups == nullptr && given->group_count != 0) return Error(Code::invalid_argument, "hearth_caller.groups is NULL");
  Caller caller{.uid = given->uid, .gid = given->gid, .groups = {}, .umask = given->umask};
  if (given->group_count != 0) caller.groups.assign(given->groups, given->groups + given->group_count);
  return caller;
}

std::int64_t make_change(hearth_client* client, const Change& change, const hearth_caller* given) {
  const Result<Caller> caller = caller_of(given);
  if (!caller) return c_api::fail(caller.error());
  const Result<Changed> done = client->client.change(change, *caller);
  return done ? 0 : c_api::fail(done.error());
}

std::span<const std::byte> bytes_to_write(const void* bytes, std::size_t size) { return {static_cast<const std::byte*>(bytes), size}; }

std::int64_t unknown(const char* what, std::uint32_t value) {
  return c_api::fail(Code::invalid_argument, std::string(what) + " has the unknown value " + std::to_string(value));
}

std::optional<SetAttributes::Time> time_to_set(std::int64_t time_ns) {
  if (time_ns == HEARTH_KEEP_TIME) return std::nullopt;
  if (time_ns == HEARTH_TIME_NOW) return SetAttributes::Time{.now = true, .ns = 0};
  return SetAttributes::Time{.now = false, .ns = time_ns};
}

std::optional<std::uint32_t> id_to_set(std::uint32_t id) { return id == HEARTH_KEEP_ID ? std::nullopt : std::optional(id); }

std::int64_t put_bytes(const std::string& from, void* into, std::size_t size) {
  if (const std::size_t count = std::min(size, from.size()); count != 0) std::memcpy(into, from.data(), count);
  return static_cast<std::int64_t>(from.size());
}

}  // namespace
}  // namespace hearth

using namespace hearth;         // NOLINT(google-build-using-namespace): the functions below are C's
using namespace hearth::c_api;  // NOLINT(google-build-using-namespace)

extern "C" {

void hearth_caller_init_sized(hearth_caller* caller, size_t size) noexcept {
  if (caller == nullptr || size < first_caller_size) return;
  (void)guarded([&]() -> int64_t {
    const Caller self = caller_of_this_process();
    const hearth_caller filled{.size = size, .groups = nullptr, .group_count = 0, .uid = self.uid, .gid = self.gid, .umask = self.umask, .reserved = 0};
    std::memset(caller, 0, size);
    std::memcpy(caller, &filled, std::min(size, sizeof filled));
    return 0;
  });
}

// ---- writers

int64_t hearth_open_writer(hearth_client* client, const char* path, uint32_t flags, uint32_t mode, const hearth_caller* caller,
                           hearth_writer** writer) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (writer == nullptr) return missing("writer");
  *writer = nullptr;
  return guarded([&]() -> int64_t {
    if ((flags & ~static_cast<uint32_t>(HEARTH_CREATE | HEARTH_EXCLUSIVE | HEARTH_TRUNCATE)) != 0) return unknown("flags", flags);
    const Result<Caller> who = caller_of(caller);
    if (!who) return fail(who.error());
    OpenForWriting how;
    how.path = path;
    how.create = (flags & HEARTH_CREATE) != 0;
    how.exclusive = (flags & HEARTH_EXCLUSIVE) != 0;
    how.truncate = (flags & HEARTH_TRUNCATE) != 0;
    how.mode = mode;
    Result<WritableFile> opened = client->client.open_for_writing(how, *who);
    if (!opened) return fail(opened.error());
    *writer = new hearth_writer{std::move(*opened)};  // tidy-allow(raw-new): the handle is C's to keep
    return 0;
  });
}

int64_t hearth_writer_is_staged(const hearth_writer* writer) noexcept {
  if (writer == nullptr) return missing("writer");
  return writer->file.is_staged() ? HEARTH_YES : HEARTH_NO;
}

int64_t hearth_writer_is_new(const hearth_writer* writer) noexcept {
  if (writer == nullptr) return missing("writer");
  return writer->file.is_new() ? HEARTH_YES : HEARTH_NO;
}

int64_t hearth_writer_pread(hearth_writer* writer, void* into, size_t size, uint64_t offset) noexcept {
  if (writer == nullptr) return missing("writer");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    Result<std::size_t> count = writer->file.pread({static_cast<std::byte*>(into), size}, offset);
    return count ? static_cast<int64_t>(*count) : fail(count.error());
  });
}

int64_t hearth_writer_pwrite(hearth_writer* writer, const void* bytes, size_t size, uint64_t offset) noexcept {
  if (writer == nullptr) return missing("writer");
  if (bytes == nullptr && size != 0) return missing("bytes");
  return guarded([&]() -> int64_t {
    const Status written = writer->file.pwrite(bytes_to_write(bytes, size), offset);
    return written ? static_cast<int64_t>(size) : fail(written.error());
  });
}

int64_t hearth_writer_append(hearth_writer* writer, const void* bytes, size_t size) noexcept {
  if (writer == nullptr) return missing("writer");
  if (bytes == nullptr && size != 0) return missing("bytes");
  return guarded([&]() -> int64_t {
    const Status written = writer->file.append(bytes_to_write(bytes, size));
    return written ? static_cast<int64_t>(size) : fail(written.error());
  });
}

int64_t hearth_writer_truncate(hearth_writer* writer, uint64_t length) noexcept {
  if (writer == nullptr) return missing("writer");
  return guarded([&]() -> int64_t {
    const Status cut = writer->file.truncate(length);
    return cut ? 0 : fail(cut.error());
  });
}

int64_t hearth_writer_sync(hearth_writer* writer) noexcept {
  if (writer == nullptr) return missing("writer");
  return guarded([&]() -> int64_t {
    const Status synced = writer->file.sync();
    return synced ? 0 : fail(synced.error());
  });
}

int64_t hearth_writer_close(hearth_writer* writer, uint32_t durability, hearth_status* status) noexcept {
  if (writer == nullptr) return missing("writer");
  return guarded([&]() -> int64_t {
    if (durability > HEARTH_STABLE) return unknown("durability", durability);
    const Result<FileStatus> closed = writer->file.close(durability == HEARTH_STABLE ? Durability::stable : Durability::acknowledged);
    if (!closed) return fail(closed.error());
    if (status != nullptr) put(*closed, *status);
    delete writer;  // tidy-allow(raw-new): see hearth_open_writer
    return 0;
  });
}

int64_t hearth_writer_abort(hearth_writer* writer) noexcept {
  if (writer == nullptr) return 0;
  return guarded([&]() -> int64_t {
    const Status given_up = writer->file.abort();
    delete writer;  // tidy-allow(raw-new): see hearth_open_writer
    return given_up ? 0 : fail(given_up.error());
  });
}

// ---- names and attributes

int64_t hearth_mkdir(hearth_client* client, const char* path, uint32_t mode, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, MakeDirectory{.path = path, .mode = mode}, caller); });
}

int64_t hearth_mknod(hearth_client* client, const char* path, uint32_t mode, uint64_t device, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, MakeNode{.path = path, .mode = mode, .device = device}, caller); });
}

int64_t hearth_symlink(hearth_client* client, const char* target, const char* path, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (target == nullptr) return missing("target");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, MakeSymlink{.path = path, .target = target}, caller); });
}

int64_t hearth_link(hearth_client* client, const char* existing, const char* path, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (existing == nullptr) return missing("existing");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, MakeLink{.path = path, .existing = existing}, caller); });
}

int64_t hearth_unlink(hearth_client* client, const char* path, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, RemoveFile{.path = path}, caller); });
}

int64_t hearth_rmdir(hearth_client* client, const char* path, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, RemoveDirectory{.path = path}, caller); });
}

int64_t hearth_rename(hearth_client* client, const char* from, const char* to, uint32_t how, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (from == nullptr) return missing("from");
  if (to == nullptr) return missing("to");
  return guarded([&]() -> int64_t {
    Rename rename{.from = from, .to = to, .target = Rename::Target::replace};
    if (how > HEARTH_RENAME_EXCHANGE) return unknown("how", how);
    if (how == HEARTH_RENAME_NOREPLACE) rename.target = Rename::Target::must_be_absent;
    if (how == HEARTH_RENAME_EXCHANGE) rename.target = Rename::Target::exchange;
    return make_change(client, rename, caller);
  });
}

int64_t hearth_chmod(hearth_client* client, const char* path, uint32_t mode, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] {
    SetAttributes set;
    set.path = path;
    set.mode = mode;
    return make_change(client, set, caller);
  });
}

int64_t hearth_chown(hearth_client* client, const char* path, uint32_t uid, uint32_t gid, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] {
    SetAttributes set;
    set.path = path;
    set.uid = id_to_set(uid);
    set.gid = id_to_set(gid);
    return make_change(client, set, caller);
  });
}

int64_t hearth_utimens(hearth_client* client, const char* path, int64_t atime_ns, int64_t mtime_ns, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] {
    SetAttributes set;
    set.path = path;
    set.atime = time_to_set(atime_ns);
    set.mtime = time_to_set(mtime_ns);
    return make_change(client, set, caller);
  });
}

int64_t hearth_sync_directory(hearth_client* client, const char* path, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  return guarded([&] { return make_change(client, SyncDirectory{.path = path}, caller); });
}

// ---- extended attributes

int64_t hearth_get_xattr(hearth_client* client, const char* path, const char* name, void* into, size_t size,
                         const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (name == nullptr) return missing("name");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    const Result<Caller> who = caller_of(caller);
    if (!who) return fail(who.error());
    const Result<std::string> value = client->client.xattr(path, name, *who);
    return value ? put_bytes(*value, into, size) : fail(value.error());
  });
}

int64_t hearth_list_xattrs(hearth_client* client, const char* path, char* into, size_t size, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    const Result<Caller> who = caller_of(caller);
    if (!who) return fail(who.error());
    const Result<std::vector<std::string>> names = client->client.xattr_names(path, *who);
    if (!names) return fail(names.error());
    std::string joined;
    for (const std::string& name : *names) joined.append(name).append(1, '\0');
    return put_bytes(joined, into, size);
  });
}

int64_t hearth_set_xattr(hearth_client* client, const char* path, const char* name, const void* value, size_t size, uint32_t how,
                         const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (name == nullptr) return missing("name");
  if (value == nullptr && size != 0) return missing("value");
  return guarded([&]() -> int64_t {
    if (how > HEARTH_XATTR_REPLACE) return unknown("how", how);
    SetXattr set;
    set.path = path;
    set.name = name;
    if (size != 0) set.value.assign(static_cast<const char*>(value), size);
    if (how == HEARTH_XATTR_CREATE) set.presence = SetXattr::Presence::must_be_absent;
    if (how == HEARTH_XATTR_REPLACE) set.presence = SetXattr::Presence::must_be_present;
    return make_change(client, set, caller);
  });
}

int64_t hearth_remove_xattr(hearth_client* client, const char* path, const char* name, const hearth_caller* caller) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (name == nullptr) return missing("name");
  return guarded([&] { return make_change(client, RemoveXattr{.path = path, .name = name}, caller); });
}

// ---- room

int64_t hearth_get_space(hearth_client* client, const char* path, hearth_space* space) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (space == nullptr) return missing("space");
  return guarded([&]() -> int64_t {
    const Result<SpaceStatus> found = client->client.space(path);
    if (!found) return fail(found.error());
    *space = hearth_space{};
    space->total_bytes = found->total_bytes;
    space->free_bytes = found->free_bytes;
    space->available_bytes = found->available_bytes;
    space->files = found->files;
    space->free_files = found->free_files;
    space->known = found->known ? HEARTH_YES : HEARTH_NO;
    space->without_limit = found->without_limit ? HEARTH_YES : HEARTH_NO;
    return 0;
  });
}

}  // extern "C"
