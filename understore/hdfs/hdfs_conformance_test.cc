// The one conformance suite, against the double as WebHDFS and as HttpFS, and against a real server when
// HEARTH_TEST_WEBHDFS=http://host:port names one (tests/integration/hdfs.py does), with the options that it needs in
// HEARTH_TEST_HDFS_OPTIONS="name=value;name=value".
#include "common/http/http_url.h"
#include "common/rng.h"
#include "understore/conformance.h"
#include "understore/hdfs/hdfs_store.h"
#include "understore/hdfs/url_text.h"
#include "understore/hdfs/webhdfs_client.h"
#include "understore/hdfs/webhdfs_double.h"
#include "understore/staged_conformance.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>

namespace hearth::hdfs {
namespace {

// An HTTP client whose network can be cut.
class BreakableHttp final : public HttpClient {
 public:
  Task<HttpReply> send(HttpRequest request, Deadline deadline) override {
    if (deadline.expired(real_clock().now())) co_return Error(Code::deadline_exceeded, "too late");
    if (broken_) co_return Error(Code::unavailable, "the network is cut");
    co_return co_await inner_->send(std::move(request), deadline);
  }
  void close() override { inner_->close(); }
  void cut() { broken_ = true; }

 private:
  std::unique_ptr<HttpClient> inner_ = make_http_client({}, real_clock());
  std::atomic<bool> broken_ = false;
};

class HdfsWorld : public StoreWorld {
 public:
  UnderStore& store() override { return *store_; }
  void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) override {
    put_text(path, std::string(length_bytes - tail.size(), '\0') + tail);
  }
  void put_symlink(const std::string&, const std::string&) override { ADD_FAILURE() << "HDFS switches symlinks off"; }
  void put_special(const std::string&) override { ADD_FAILURE() << "HDFS has no special files"; }
  std::string outside() override { return "/outside"; }
  bool decoy_untouched() override { return true; }
  void vanish() override { http_.cut(); }
  bool has_symlinks() override { return false; }
  bool has_special_files() override { return false; }
  bool takes_name(const std::string& name) override { return is_utf8(name); }

 protected:
  void open(const std::string& uri, const StoreOptions& options) {
    const StoreContext context{.pool = pool_, .clock = real_clock(), .http = &http_};
    auto opened = open_hdfs_store(uri, options, context);
    EXPECT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(opened).value();
  }

  BlockingPool pool_{1, 100};
  BreakableHttp http_;
  std::shared_ptr<UnderStore> store_;
};

class DoubleWorld final : public HdfsWorld {
 public:
  explicit DoubleWorld(WebHdfsDoubleOptions::Kind kind) : double_({.listing_limit = 20, .required_user = "hearth", .kind = kind}) {
    double_.edit([](DoubleTree& tree) { tree.make_directories("/data set", 0755); });
    StoreOptions options{{"http_address", double_.http_address()}, {"user", "hearth"}};
    if (kind == WebHdfsDoubleOptions::Kind::httpfs) options["inode_paths"] = "off";
    open("hdfs://nameservice/data%20set", options);
  }
  void put_text(const std::string& path, const std::string& content) override { double_.put(at(path), content); }
  void put_directory(const std::string& path) override {
    double_.edit([&](DoubleTree& tree) { tree.make_directories(at(path), 0755); });
  }
  void replace_secretly(const std::string& path, const std::string& content) override {
    double_.edit([&](DoubleTree& tree) {
      const auto modified = tree.find(at(path))->modified_ms;
      const auto made = tree.create(at(path), content, DoubleTree::Existing::replace, DoubleTree::Parents::require);
      (*made.value)->modified_ms = modified;
    });
  }
  void append(const std::string& path, const std::string& more) override {
    double_.edit([&](DoubleTree& tree) { tree.append(at(path), more); });
  }
  void take_away(const std::string& path) override {
    double_.edit([&](DoubleTree& tree) { tree.remove(at(path), DoubleTree::Depth::whole); });
  }

 private:
  static std::string at(const std::string& path) { return "/data set/" + path; }
  WebHdfsDouble double_;
};

StoreOptions options_from_environment() {
  StoreOptions options;
  const char* given = std::getenv("HEARTH_TEST_HDFS_OPTIONS");
  std::string_view rest = given == nullptr ? "" : given;
  while (!rest.empty()) {
    const std::string_view each = rest.substr(0, rest.find(';'));
    rest.remove_prefix(std::min(each.size() + 1, rest.size()));
    const auto equals = each.find('=');
    if (equals != std::string_view::npos) options[std::string(each.substr(0, equals))] = each.substr(equals + 1);
  }
  return options;
}

// A directory of its own on a server that is up, changed by a client beside the store.
class RealWorld final : public HdfsWorld {
 public:
  explicit RealWorld(const std::string& address) {
    const auto url = parse_http_url(address);
    EXPECT_TRUE(url) << "HEARTH_TEST_WEBHDFS is " << address;
    root_ = "/hearth-test-" + std::to_string(system_rng().next());
    StoreOptions options = options_from_environment();
    options["http_address"] = url->authority;
    const auto other = parse_hdfs_options("hdfs://" + url->authority + "/", options);
    EXPECT_TRUE(other) << other.error().to_string();
    client_ = std::make_unique<WebHdfsClient>(*other, http_other_, pool_);
    const auto made = run_task(client_->make_directories(root_, 0755, soon()));
    EXPECT_TRUE(made) << made.error().to_string();
    open("hdfs://" + url->authority + root_, options);
  }
  ~RealWorld() override { EXPECT_TRUE(run_task(client_->remove(root_, Recursive::yes, soon()))); }

  void put_text(const std::string& path, const std::string& content) override {
    const auto bytes = std::as_bytes(std::span(content));
    const auto made = run_task(client_->create(at(path), Overwrite::yes, bytes, soon()));
    EXPECT_TRUE(made) << made.error().to_string();
  }
  void put_directory(const std::string& path) override { EXPECT_TRUE(run_task(client_->make_directories(at(path), 0755, soon()))); }
  void replace_secretly(const std::string& path, const std::string& content) override {
    const auto before = run_task(client_->status(at(path), soon()));
    put_text(path, content);
    EXPECT_TRUE(run_task(client_->set_times(at(path), before->modified_ms, soon())));
  }
  void append(const std::string& path, const std::string& more) override {
    const auto done = run_task(client_->append(at(path), std::as_bytes(std::span(more)), soon()));
    EXPECT_TRUE(done) << done.error().to_string();
  }
  void take_away(const std::string& path) override { EXPECT_TRUE(run_task(client_->remove(at(path), Recursive::yes, soon()))); }

 private:
  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(60)); }
  std::string at(const std::string& path) const { return root_ + "/" + path; }

  std::string root_;
  std::unique_ptr<HttpClient> http_other_owner_ = make_http_client({}, real_clock());
  HttpClient& http_other_ = *http_other_owner_;
  std::unique_ptr<WebHdfsClient> client_;
};

std::unique_ptr<StoreWorld> make_webhdfs_world() { return std::make_unique<DoubleWorld>(WebHdfsDoubleOptions::Kind::webhdfs); }
std::unique_ptr<StoreWorld> make_httpfs_world() { return std::make_unique<DoubleWorld>(WebHdfsDoubleOptions::Kind::httpfs); }
std::unique_ptr<StoreWorld> make_real_world() { return std::make_unique<RealWorld>(std::getenv("HEARTH_TEST_WEBHDFS")); }

std::vector<StoreWorldFactory> real_worlds() {
  std::vector<StoreWorldFactory> worlds;
  if (std::getenv("HEARTH_TEST_WEBHDFS") != nullptr) worlds.push_back(&make_real_world);
  return worlds;
}

}  // namespace
}  // namespace hearth::hdfs

namespace hearth {

INSTANTIATE_TEST_SUITE_P(WebHdfsDouble, StoreConformance, ::testing::Values(&hdfs::make_webhdfs_world));
INSTANTIATE_TEST_SUITE_P(HttpFsDouble, StoreConformance, ::testing::Values(&hdfs::make_httpfs_world));
INSTANTIATE_TEST_SUITE_P(RealHdfs, StoreConformance, ::testing::ValuesIn(hdfs::real_worlds()));
INSTANTIATE_TEST_SUITE_P(WebHdfsDouble, StagedConformance, ::testing::Values(&hdfs::make_webhdfs_world));
INSTANTIATE_TEST_SUITE_P(HttpFsDouble, StagedConformance, ::testing::Values(&hdfs::make_httpfs_world));
INSTANTIATE_TEST_SUITE_P(RealHdfs, StagedConformance, ::testing::ValuesIn(hdfs::real_worlds()));

}  // namespace hearth
