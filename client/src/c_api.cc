// The C ABI over the public classes: arguments checked, results turned into numbers, nothing thrown.
#include "client/src/c_api.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>

namespace hearth {
namespace {

// ---- the layout that compiled programs know

// If one of these fails, programs that are compiled already break: add fields where `reserved` is, or at the end of a
// struct that has a `size`, and pin those. Anything else needs another soname (client/README.md).
static_assert(sizeof(void*) == 8, "the layout below is that of 64-bit machines");
static_assert(sizeof(hearth_options) == 96 && offsetof(hearth_options, master) == 8 && offsetof(hearth_options, tenant) == 16 &&
              offsetof(hearth_options, metadata_deadline_ms) == 24 && offsetof(hearth_options, read_deadline_ms) == 32 &&
              offsetof(hearth_options, attempt_deadline_ms) == 40 && offsetof(hearth_options, max_mapped_bytes) == 48 &&
              offsetof(hearth_options, max_cached_paths) == 56 && offsetof(hearth_options, grant_min_bytes) == 64 &&
              offsetof(hearth_options, readahead_bytes) == 72 && offsetof(hearth_options, connections_per_worker) == 76 &&
              offsetof(hearth_options, short_circuit) == 80 && offsetof(hearth_options, direct_store_reads) == 84 &&
              offsetof(hearth_options, verify) == 88);
static_assert(sizeof(hearth_status) == 88 && offsetof(hearth_status, length_bytes) == 8 && offsetof(hearth_status, mtime_ns) == 16 &&
              offsetof(hearth_status, ctime_ns) == 24 && offsetof(hearth_status, ttl_ms) == 32 &&
              offsetof(hearth_status, type) == 40 && offsetof(hearth_status, mode) == 44 && offsetof(hearth_status, uid) == 48 &&
              offsetof(hearth_status, gid) == 52 && offsetof(hearth_status, link_count) == 56 &&
              offsetof(hearth_status, attachment) == 60 && offsetof(hearth_status, flags) == 64);
static_assert(sizeof(hearth_counters) == 128 && offsetof(hearth_counters, worker_hit_bytes) == 8 &&
              offsetof(hearth_counters, worker_miss_bytes) == 16 && offsetof(hearth_counters, store_bytes) == 24 &&
              offsetof(hearth_counters, retries) == 32 && offsetof(hearth_counters, corrupt_chunks) == 40);
static_assert(sizeof(hearth_stat_item) == 120 && offsetof(hearth_stat_item, result) == 8 && offsetof(hearth_stat_item, status) == 16);
static_assert(sizeof(hearth_open_item) == 40 && offsetof(hearth_open_item, file) == 8 && offsetof(hearth_open_item, result) == 16);
static_assert(sizeof(hearth_read_item) == 56 && offsetof(hearth_read_item, into) == 8 && offsetof(hearth_read_item, size) == 16 &&
              offsetof(hearth_read_item, offset) == 24 && offsetof(hearth_read_item, result) == 32);
static_assert(sizeof(hearth_view) == 32 && offsetof(hearth_view, length) == 8 && offsetof(hearth_view, hold) == 16);
constexpr std::size_t first_options_size = 96;  // of the first version that was published

// One table of codes for all: the C numbers are its own, negated.
static_assert(HEARTH_INTERNAL == -static_cast<int>(Code::internal) && HEARTH_STALE == -static_cast<int>(Code::stale) &&
              HEARTH_INVALID_ARGUMENT == -static_cast<int>(Code::invalid_argument) &&
              HEARTH_NOT_FOUND == -static_cast<int>(Code::not_found) &&
              HEARTH_UNAVAILABLE == -static_cast<int>(Code::unavailable) &&
              HEARTH_UNSUPPORTED == -static_cast<int>(Code::unsupported) &&
              HEARTH_WRONG_EPOCH == -static_cast<int>(Code::wrong_epoch) && code_table.size() == 26);
static_assert(HEARTH_REGULAR == static_cast<int>(EntryType::regular) && HEARTH_DIRECTORY == static_cast<int>(EntryType::directory) &&
              HEARTH_SYMLINK == static_cast<int>(EntryType::symlink) && HEARTH_OTHER == static_cast<int>(EntryType::other));
static_assert(HEARTH_VERIFY_OFF == static_cast<int>(Verify::off) && HEARTH_VERIFY_ONCE == static_cast<int>(Verify::once) &&
              HEARTH_VERIFY_ALWAYS == static_cast<int>(Verify::always));

// A buffer, so that saying what went wrong can not itself go wrong.
thread_local char last_message[1024];
thread_local int last_errno = 0;

std::int64_t put(const std::string& from, char* into, std::size_t size) {
  std::copy_n(from.data(), std::min(size, from.size()), into);
  return static_cast<std::int64_t>(from.size());
}

hearth_options to_c(const ClientOptions& from) {
  hearth_options out{};
  out.size = sizeof out;
  out.master = "127.0.0.1:19800";
  out.tenant = "";
  out.metadata_deadline_ms = static_cast<std::uint64_t>(from.metadata_deadline.count());
  out.read_deadline_ms = static_cast<std::uint64_t>(from.read_deadline.count());
  out.attempt_deadline_ms = static_cast<std::uint64_t>(from.attempt_deadline.count());
  out.max_mapped_bytes = from.max_mapped_bytes;
  out.max_cached_paths = from.max_cached_paths;
  out.grant_min_bytes = from.grant_min_bytes;
  out.readahead_bytes = from.readahead_bytes;
  out.connections_per_worker = from.connections_per_worker;
  out.short_circuit = from.short_circuit ? HEARTH_YES : HEARTH_NO;
  out.direct_store_reads = from.direct_store_reads ? HEARTH_YES : HEARTH_NO;
  out.verify = static_cast<std::uint32_t>(from.verify);
  return out;
}

Result<std::chrono::milliseconds> duration(std::uint64_t ms, const char* field) {
  constexpr std::uint64_t most = 365ULL * 24 * 3600 * 1000;
  if (ms != 0 && ms <= most) return std::chrono::milliseconds(ms);
  return Error(Code::invalid_argument, std::string(field) + " is " + std::to_string(ms) + "; give 1 ms to a year");
}

Result<ClientOptions> from_c(const hearth_options& given) {
  CHECK_OK(c_api::check_size(&given, given.size, {"hearth_options", first_options_size, sizeof given}));
  ClientOptions out;
  if (given.master == nullptr) return Error(Code::invalid_argument, "hearth_options.master is NULL; give host:port or unix:/path");
  const bool answers = given.short_circuit <= HEARTH_YES && given.direct_store_reads <= HEARTH_YES && given.verify <= HEARTH_VERIFY_ALWAYS;
  if (!answers || given.reserved != 0) {
    return Error(Code::invalid_argument, "hearth_options has a switch with an unknown value; fill it with hearth_options_init() first");
  }
  TRY(metadata, duration(given.metadata_deadline_ms, "metadata_deadline_ms"));
  TRY(read, duration(given.read_deadline_ms, "read_deadline_ms"));
  TRY(attempt, duration(given.attempt_deadline_ms, "attempt_deadline_ms"));
  out.master = given.master;
  out.tenant = given.tenant == nullptr ? "" : given.tenant;
  out.metadata_deadline = metadata;
  out.read_deadline = read;
  out.attempt_deadline = attempt;
  out.max_mapped_bytes = given.max_mapped_bytes;
  out.max_cached_paths = given.max_cached_paths;
  out.grant_min_bytes = given.grant_min_bytes;
  out.readahead_bytes = given.readahead_bytes;
  out.connections_per_worker = std::max(given.connections_per_worker, 1U);
  out.short_circuit = given.short_circuit == HEARTH_YES;
  out.direct_store_reads = given.direct_store_reads == HEARTH_YES;
  out.verify = static_cast<Verify>(given.verify);
  return out;
}

// The hold of a view lies in the caller's struct: no allocation, and the struct may be moved.
using Hold = std::shared_ptr<const void>;
static_assert(sizeof(Hold) == sizeof(hearth_view::hold) && alignof(Hold) <= alignof(hearth_view));

Hold* hold_of(hearth_view& view) { return std::launder(reinterpret_cast<Hold*>(&view.hold)); }

std::span<std::byte> bytes_of(void* into, std::size_t size) { return {static_cast<std::byte*>(into), size}; }

}  // namespace

namespace c_api {

std::int64_t fail(Code code, std::string_view message) noexcept {
  const std::size_t length = std::min(message.size(), sizeof last_message - 1);
  std::memcpy(last_message, message.data(), length);
  last_message[length] = '\0';
  last_errno = info(code).error_number;
  return -static_cast<std::int64_t>(info(code).code);
}

std::int64_t fail(const Error& error) noexcept {
  const std::int64_t code = fail(error.code(), error.message());
  last_errno = error.error_number();
  return code;
}

// A program of a newer header sets what this library does not have only if it must.
Status check_size(const void* given, std::size_t size, const StructSizes& sizes) {
  const std::string name = sizes.name;
  if (size < sizes.first) {
    return Error(Code::invalid_argument, name + " has a size of " + std::to_string(size) + "; fill it with " + name + "_init() first");
  }
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (std::size_t i = sizes.known; i < size; ++i) {
    if (bytes[i] == 0) continue;
    return Error(Code::unsupported, name + " sets a field that libhearth " HEARTH_VERSION_STRING
                                           " does not have; install the version that the program was built for");
  }
  return ok();
}

std::int64_t missing(const char* what) noexcept {
  char message[128];
  const int length = std::snprintf(message, sizeof message, "%s is NULL; give a valid pointer", what);
  return fail(Code::invalid_argument, std::string_view(message, static_cast<std::size_t>(length)));
}

void put(const FileStatus& from, hearth_status& out) {
  out = hearth_status{};
  out.inode = from.inode;
  out.length_bytes = from.length_bytes;
  out.mtime_ns = from.mtime_ns;
  out.ctime_ns = from.ctime_ns;
  out.ttl_ms = static_cast<std::uint64_t>(from.ttl.count());
  out.type = static_cast<std::uint32_t>(from.type);
  out.mode = from.mode;
  out.uid = from.uid;
  out.gid = from.gid;
  out.link_count = from.link_count;
  out.attachment = from.attachment;
  out.flags = from.served_stale ? HEARTH_SERVED_STALE : 0;
}

}  // namespace c_api
}  // namespace hearth

using namespace hearth;  // NOLINT(google-build-using-namespace): the functions below are C's
using namespace hearth::c_api;  // NOLINT(google-build-using-namespace): the functions below are C's

extern "C" {

const char* hearth_error_message(void) noexcept { return last_message; }

int hearth_error_errno(void) noexcept { return last_errno; }

const char* hearth_code_name(int64_t code) noexcept {
  return code > 0 ? "ok" : info(static_cast<Code>(code < -0xffff ? 1 : -code)).name.data();
}

int hearth_code_errno(int64_t code) noexcept {
  return code > 0 ? 0 : info(static_cast<Code>(code < -0xffff ? 1 : -code)).error_number;
}

const char* hearth_version(void) noexcept { return HEARTH_VERSION_STRING; }

uint32_t hearth_version_number(void) noexcept { return HEARTH_VERSION_NUMBER; }

void hearth_options_init_sized(hearth_options* options, size_t size) noexcept {
  if (options == nullptr || size < first_options_size) return;
  static const hearth_options defaults = to_c(ClientOptions());
  std::memset(options, 0, size);
  std::memcpy(options, &defaults, std::min(size, sizeof defaults));
  options->size = size;
}

int64_t hearth_connect(const hearth_options* options, hearth_client** client) noexcept {
  if (client == nullptr) return missing("client");
  *client = nullptr;
  return guarded([&]() -> int64_t {
    Result<ClientOptions> wanted = options == nullptr ? Result<ClientOptions>(ClientOptions()) : from_c(*options);
    if (!wanted) return fail(wanted.error());
    Result<Client> connected = Client::connect(*wanted);
    if (!connected) return fail(connected.error());
    *client = new hearth_client{std::move(*connected)};  // tidy-allow(raw-new): the handle is C's to keep
    return 0;
  });
}

void hearth_disconnect(hearth_client* client) noexcept {
  guarded([client]() -> int64_t {
    delete client;  // tidy-allow(raw-new): see hearth_connect
    return 0;
  });
}

int64_t hearth_stat(hearth_client* client, const char* path, hearth_status* status) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (status == nullptr) return missing("status");
  return guarded([&]() -> int64_t {
    Result<FileStatus> found = client->client.stat(path);
    if (!found) return fail(found.error());
    put(*found, *status);
    return 0;
  });
}

int64_t hearth_read_link(hearth_client* client, const char* path, char* into, size_t size) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    Result<FileStatus> found = client->client.stat(path);
    if (!found) return fail(found.error());
    if (found->type == EntryType::symlink) return put(found->symlink_target, into, size);
    return fail(Code::invalid_argument, std::string(path) + " is not a symlink");
  });
}

void hearth_forget(hearth_client* client, const char* path) noexcept {
  if (client == nullptr) return;
  guarded([&]() -> int64_t {
    client->client.forget(path == nullptr ? "" : path);
    return 0;
  });
}

int64_t hearth_list(hearth_client* client, const char* path, const char* after, size_t limit,
                    hearth_listing** listing) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (listing == nullptr) return missing("listing");
  *listing = nullptr;
  return guarded([&]() -> int64_t {
    Result<DirectoryPage> page = client->client.list(path, after == nullptr ? "" : after, limit);
    if (!page) return fail(page.error());
    *listing = new hearth_listing{std::move(*page)};  // tidy-allow(raw-new): the handle is C's to keep
    return static_cast<int64_t>((*listing)->page.items.size());
  });
}

const char* hearth_listing_name(const hearth_listing* listing, size_t index) noexcept {
  if (listing == nullptr || index >= listing->page.items.size()) return nullptr;
  return listing->page.items[index].name.c_str();
}

int64_t hearth_listing_status(const hearth_listing* listing, size_t index, hearth_status* status) noexcept {
  if (listing == nullptr) return missing("listing");
  if (status == nullptr) return missing("status");
  if (index >= listing->page.items.size()) {
    return fail(Code::invalid_argument, "the index is past the end of the listing; hearth_list() returned how many there are");
  }
  put(listing->page.items[index].status, *status);
  return 0;
}

int64_t hearth_listing_more(const hearth_listing* listing) noexcept {
  if (listing == nullptr) return missing("listing");
  return listing->page.more ? HEARTH_YES : HEARTH_NO;
}

void hearth_listing_free(hearth_listing* listing) noexcept { delete listing; }  // tidy-allow(raw-new): see hearth_list

int64_t hearth_get_counters(const hearth_client* client, hearth_counters* counters) noexcept {
  if (client == nullptr) return missing("client");
  if (counters == nullptr) return missing("counters");
  const ReadCounters now = client->client.counters();
  *counters = hearth_counters{.mapped_bytes = now.mapped_bytes,
                              .worker_hit_bytes = now.worker_hit_bytes,
                              .worker_miss_bytes = now.worker_miss_bytes,
                              .store_bytes = now.store_bytes,
                              .retries = now.retries,
                              .corrupt_chunks = now.corrupt_chunks};
  return 0;
}

int64_t hearth_open(hearth_client* client, const char* path, hearth_file** file) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (file == nullptr) return missing("file");
  *file = nullptr;
  return guarded([&]() -> int64_t {
    Result<File> opened = client->client.open(path);
    if (!opened) return fail(opened.error());
    *file = new hearth_file{std::move(*opened)};  // tidy-allow(raw-new): the handle is C's to keep
    return 0;
  });
}

void hearth_close(hearth_file* file) noexcept {
  guarded([file]() -> int64_t {
    delete file;  // tidy-allow(raw-new): see hearth_open
    return 0;
  });
}

int64_t hearth_file_status(const hearth_file* file, hearth_status* status) noexcept {
  if (file == nullptr) return missing("file");
  if (status == nullptr) return missing("status");
  put(file->file.status(), *status);
  return 0;
}

int64_t hearth_file_version(const hearth_file* file, char* into, size_t size) noexcept {
  if (file == nullptr) return missing("file");
  if (into == nullptr && size != 0) return missing("into");
  return put(file->file.status().version, into, size);
}

int64_t hearth_pread(hearth_file* file, void* into, size_t size, uint64_t offset) noexcept {
  if (file == nullptr) return missing("file");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    Result<std::size_t> count = file->file.pread(bytes_of(into, size), offset);
    return count ? static_cast<int64_t>(*count) : fail(count.error());
  });
}

int64_t hearth_pread_async(hearth_file* file, void* into, size_t size, uint64_t offset, hearth_done done, void* user) noexcept {
  if (file == nullptr) return missing("file");
  if (into == nullptr && size != 0) return missing("into");
  if (done == nullptr) return missing("done");
  return guarded([&]() -> int64_t {
    // What is refused is told before this returns, and only then is there no callback.
    const Status usable = file->file.usable();
    if (!usable) return fail(usable.error());
    file->file.async_pread(bytes_of(into, size), offset, [done, user](Result<std::size_t> count) {
      if (count) return done(user, static_cast<int64_t>(*count), "");
      done(user, -static_cast<int64_t>(count.code()), count.error().message().c_str());
    });
    return 0;
  });
}

int64_t hearth_read_file(hearth_client* client, const char* path, void* into, size_t size) noexcept {
  if (client == nullptr) return missing("client");
  if (path == nullptr) return missing("path");
  if (into == nullptr && size != 0) return missing("into");
  return guarded([&]() -> int64_t {
    Result<File> opened = client->client.open(path);
    if (!opened) return fail(opened.error());
    const std::uint64_t length = opened->status().length_bytes;
    if (length > size) {
      return fail(Code::invalid_argument, std::string(path) + " has " + std::to_string(length) + " bytes, more than the " +
                                              std::to_string(size) + " of the buffer; give a larger one, or open it and read pieces");
    }
    Result<std::size_t> count = opened->pread(bytes_of(into, size), 0);
    return count ? static_cast<int64_t>(*count) : fail(count.error());
  });
}

int64_t hearth_view_open(hearth_file* file, uint64_t offset, size_t length, hearth_view* view) noexcept {
  if (view == nullptr) return missing("view");
  *view = hearth_view{};
  if (file == nullptr) return missing("file");
  return guarded([&]() -> int64_t {
    Result<ReadView> shown = file->file.read_view(offset, length);
    if (!shown) return fail(shown.error());
    view->data = shown->bytes.data();
    view->length = shown->bytes.size();
    new (&view->hold) Hold(std::move(shown->hold));  // tidy-allow(raw-new): constructs in the caller's struct
    return static_cast<int64_t>(view->length);
  });
}

void hearth_view_release(hearth_view* view) noexcept {
  if (view == nullptr) return;
  if (view->hold[0] != nullptr || view->hold[1] != nullptr) hold_of(*view)->~Hold();
  *view = hearth_view{};
}

int64_t hearth_load(hearth_file* file, uint64_t offset, uint64_t length) noexcept {
  if (file == nullptr) return missing("file");
  return guarded([&]() -> int64_t {
    Result<std::uint64_t> loaded = file->file.load(offset, length);
    return loaded ? static_cast<int64_t>(*loaded) : fail(loaded.error());
  });
}

}  // extern "C"
