// S3 stores for tests: one on the strict double, and one on a real server that the environment names.
#pragma once

#include "common/http/http.h"
#include "understore/conformance.h"
#include "understore/s3/s3_double.h"
#include "understore/s3/s3_store.h"
#include "understore/s3/uri_encode.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

namespace hearth::s3 {

// Stores that get their keys from an environment of their own.
class S3Opener {
 public:
  S3Opener() = default;
  ~S3Opener() { http_->close(); }

  S3Seams seams(std::map<std::string, std::string> environment) {
    S3Seams seams;
    seams.environment = [environment = std::move(environment)](const std::string& name) -> std::optional<std::string> {
      const auto at = environment.find(name);
      if (at == environment.end()) return std::nullopt;
      return at->second;
    };
    return seams;
  }
  Result<std::shared_ptr<S3Store>> open(const std::string& uri, const StoreOptions& options, S3Seams seams) {
    const StoreContext context{.pool = pool_, .clock = *clock, .http = http_.get()};
    return open_s3_store_with(uri, options, context, std::move(seams));
  }
  BlockingPool& pool() { return pool_; }
  HttpClient& http() { return *http_; }

  Clock* clock = &real_clock();

 private:
  BlockingPool pool_{2, 1000};
  std::unique_ptr<HttpClient> http_ = make_http_client({}, real_clock());
};

// A store at a double, with the double's keys.
class DoubleStore {
 public:
  explicit DoubleStore(DoubleOptions options = {}, StoreOptions store_options = {}, std::string prefix = "")
      : double_(std::move(options)), store_options_(std::move(store_options)), prefix_(std::move(prefix)) {
    reopen();
  }
  // A fresh store, as after a restart: `secret` instead of the right one.
  void reopen(std::string secret = "") {
    const DoubleIdentity& identity = double_.options().identity;
    std::map<std::string, std::string> environment{{"AWS_ACCESS_KEY_ID", identity.access_key_id},
                                                   {"AWS_SECRET_ACCESS_KEY", secret.empty() ? identity.secret : secret},
                                                   {"AWS_EC2_METADATA_DISABLED", "true"}};
    if (!identity.session_token.empty()) environment["AWS_SESSION_TOKEN"] = identity.session_token;
    StoreOptions options = store_options_;
    options.emplace("endpoint", double_.origin());
    S3Seams seams = opener_.seams(std::move(environment));
    seams.single_copy_limit = single_copy_limit;
    seams.part_of_copy = part_of_copy;
    seams.part_bytes = part_bytes;
    auto opened = opener_.open("s3://bucket/" + uri_encode_path(prefix_), options, std::move(seams));
    EXPECT_TRUE(opened) << opened.error().to_string();
    store_ = *opened;
  }
  S3Double& server() { return double_; }
  S3Store& store() { return *store_; }
  S3Opener& opener() { return opener_; }

  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }
  Result<ObjectInfo> stat(const std::string& path) { return run_task(store().stat(path, soon())); }
  Result<std::string> read(const std::string& path, const std::string& version, std::uint64_t offset, std::size_t length) {
    std::string bytes(length, '?');
    const std::span<std::byte> into = std::as_writable_bytes(std::span(bytes));
    CHECK_OK(run_task(store().read(path, version, offset, into, soon())));
    return bytes;
  }
  Result<std::string> read_all(const std::string& path) {
    TRY(info, stat(path));
    return read(path, info.version, 0, info.length_bytes);
  }
  Result<std::vector<ObjectInfo>> list(const std::string& path, std::size_t batch = 100) {
    TRY(listing, run_task(store().list(path, soon())));
    std::vector<ObjectInfo> all;
    while (true) {
      TRY(entries, run_task(listing->next(batch, soon())));
      if (entries.empty()) return all;
      std::move(entries.begin(), entries.end(), std::back_inserter(all));
    }
  }
  std::vector<std::string> names(const std::string& path) {
    std::vector<std::string> names;
    const auto entries = list(path);
    if (!entries) return {entries.error().to_string()};
    for (const ObjectInfo& entry : *entries) names.push_back(entry.name + (entry.type == FileType::directory ? "/" : ""));
    return names;
  }

  std::uint64_t single_copy_limit = largest_single_copy;
  std::uint64_t part_of_copy = copy_part_bytes;
  std::optional<std::uint64_t> part_bytes;

 private:
  S3Double double_;
  StoreOptions store_options_;
  std::string prefix_;
  S3Opener opener_;
  std::shared_ptr<S3Store> store_;
};

}  // namespace hearth::s3
