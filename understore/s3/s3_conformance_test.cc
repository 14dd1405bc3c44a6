// The conformance suite on the double, on the double with every option that changes requests, and, where the environment
// names one, on a real server (tests/services/s3/): HEARTH_TEST_S3_ENDPOINT, _BUCKET, _CREDENTIALS (a file).
#include "understore/s3/s3_world.h"
#include "understore/s3/tcp_relay.h"
#include "understore/staged_conformance.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace hearth::s3 {
namespace {

class S3World : public StoreWorld {
 public:
  void put_directory(const std::string& path) override { put_object(path + "/", ""); }
  void put_text(const std::string& path, const std::string& content) override { put_object(path, content); }
  void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) override {
    put_object(path, std::string(length_bytes - tail.size(), '\0') + tail);
  }
  void put_symlink(const std::string&, const std::string&) override { FAIL() << "buckets have no symlinks"; }
  void put_special(const std::string&) override { FAIL() << "buckets have no special files"; }
  void replace_secretly(const std::string& path, const std::string& content) override { put_object(path, content); }
  std::string outside() override { return "/outside"; }
  bool decoy_untouched() override { return true; }
  bool has_symlinks() override { return false; }
  bool has_special_files() override { return false; }
  bool takes_name(const std::string& name) override { return is_utf8(name); }

 protected:
  virtual void put_object(const std::string& path, const std::string& content) = 0;
};

class DoubleWorld final : public S3World {
 public:
  DoubleWorld(DoubleOptions options, StoreOptions store_options, std::string prefix)
      : store_(std::move(options), std::move(store_options), prefix), key_prefix_(prefix.empty() ? "" : prefix + "/") {}
  UnderStore& store() override { return store_.store(); }
  void append(const std::string& path, const std::string& more) override {
    put_object(path, store_.server().content(key_prefix_ + path).value_or("") + more);
  }
  void take_away(const std::string& path) override { store_.server().erase(key_prefix_ + path); }
  void vanish() override { store_.server().go_away(); }

 private:
  void put_object(const std::string& path, const std::string& content) override { store_.server().put(key_prefix_ + path, content); }

  DoubleStore store_;
  std::string key_prefix_;
};

// Another store of the same process is "somebody else" here; what a client of another make wrote is read by
// tests/integration/s3.py.
class RealWorld final : public S3World {
 public:
  RealWorld() : relay_(std::getenv("HEARTH_TEST_S3_ENDPOINT")) {
    static std::atomic<int> number{0};
    const std::string prefix = "conformance-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
    const std::string uri = std::string("s3://") + std::getenv("HEARTH_TEST_S3_BUCKET") + "/" + prefix;
    const std::string credentials = std::string("file:") + std::getenv("HEARTH_TEST_S3_CREDENTIALS");
    store_ = open(uri, {{"endpoint", relay_.origin()}, {"credentials", credentials}});
    other_ = open(uri, {{"endpoint", std::getenv("HEARTH_TEST_S3_ENDPOINT")}, {"credentials", credentials}});
    objects_ = std::make_unique<S3Objects>(other_->client());
  }
  UnderStore& store() override { return *store_; }
  void append(const std::string& path, const std::string& more) override {
    const auto info = run_task(other_->stat(path, soon()));
    std::string content(info->length_bytes, '?');
    const std::span<std::byte> into = std::as_writable_bytes(std::span(content));
    EXPECT_TRUE(run_task(other_->read(path, info->version, 0, into, soon())));
    put_object(path, content + more);
  }
  void take_away(const std::string& path) override { EXPECT_TRUE(run_task(objects_->erase(key(path), soon()))) << path; }
  void vanish() override { relay_.stop(); }
  // It ignores encoding-type, and XML 1.0 has no control characters.
  bool carries_name(const std::string& name) override {
    return std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x09; });
  }

 private:
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(30)); }
  std::string key(const std::string& path) const { return other_->client().options().prefix + path; }
  std::shared_ptr<S3Store> open(const std::string& uri, const StoreOptions& options) {
    auto opened = opener_.open(uri, options, opener_.seams({}));
    EXPECT_TRUE(opened) << opened.error().to_string();
    return *opened;
  }
  void put_object(const std::string& path, const std::string& content) override {
    const auto put = run_task(objects_->put(key(path), as_bytes_of(content), "application/octet-stream", soon()));
    EXPECT_TRUE(put) << path << ": " << put.error().to_string();
  }

  TcpRelay relay_;
  S3Opener opener_;
  std::shared_ptr<S3Store> store_;
  std::shared_ptr<S3Store> other_;
  std::unique_ptr<S3Objects> objects_;
};

std::unique_ptr<StoreWorld> plain() { return std::make_unique<DoubleWorld>(DoubleOptions(), StoreOptions(), ""); }
// Pages of 3, names as they are, below a prefix that needs encoding; small parts.
std::unique_ptr<StoreWorld> odd() {
  DoubleOptions options;
  options.max_page = 3;
  return std::make_unique<DoubleWorld>(options, StoreOptions{{"payload", "streaming"}, {"checksum", "crc64nvme"}, {"requester_pays", "true"}, {"sse", "s3"}},
                                       "pre fix+%/\xc3\xa9");
}
std::unique_ptr<StoreWorld> unsigned_bodies() {
  DoubleOptions options;
  options.identity.session_token = "token/+=";
  return std::make_unique<DoubleWorld>(options, StoreOptions{{"payload", "unsigned"}, {"checksum", "sha256"}, {"part_size", "5MiB"}}, "p");
}
std::unique_ptr<StoreWorld> real() { return std::make_unique<RealWorld>(); }

std::vector<StoreWorldFactory> real_worlds() {
  if (std::getenv("HEARTH_TEST_S3_ENDPOINT") == nullptr) return {};
  return {&real};
}

}  // namespace
}  // namespace hearth::s3

namespace hearth {
INSTANTIATE_TEST_SUITE_P(S3Double, StoreConformance, ::testing::Values(&s3::plain, &s3::odd, &s3::unsigned_bodies));
INSTANTIATE_TEST_SUITE_P(S3Real, StoreConformance, ::testing::ValuesIn(s3::real_worlds()));
INSTANTIATE_TEST_SUITE_P(S3Double, StagedConformance, ::testing::Values(&s3::plain, &s3::odd, &s3::unsigned_bodies));
INSTANTIATE_TEST_SUITE_P(S3Real, StagedConformance, ::testing::ValuesIn(s3::real_worlds()));
}  // namespace hearth
