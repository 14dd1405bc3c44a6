// The whole stack in front of a store that changes, goes away and comes back while it is read.
#include "tests/support/in_process_cluster.h"

#include "common/fd.h"
#include "common/metrics.h"
#include "understore/guard/guarded_store.h"
#include "understore/oracle.h"
#include "understore/sim_store.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <optional>
#include <thread>

namespace hearth::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t page = 64U << 10;
constexpr std::uint64_t pages_per_request = 4;
constexpr const char* token = "0123456789abcdef0123456789abcdef";

// The status line of the answer to a posted event.
std::string post(std::uint16_t port, const std::string& secret, const std::string& body) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return "";
  const std::string request = "POST /v1/events/s3 HTTP/1.1\r\nAuthorization: Bearer " + secret +
                              "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return "";
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd.get(), buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(got));
  return text.substr(0, text.find("\r\n"));
}

std::string event(const std::string& name, const std::string& key) {
  return R"({"Records":[{"eventName":")" + name + R"(","eventTime":"2026-01-01T00:00:00Z","s3":{"bucket":{"name":"lake"},"object":{"key":")" +
         key + R"("}}}]})";
}

class StoreFaults : public ::testing::Test {
 protected:
  // Master and worker have a guard each in front of the one simulated store, as in processes of their own.
  void start(milliseconds metadata_ttl, std::uint32_t page_size = page) {
    InProcessClusterOptions options;
    options.events_token = token;
    options.open_store = [this](const std::string&) -> Result<std::shared_ptr<UnderStore>> {
      GuardOptions guard;
      guard.fetch_bytes = pages_per_request * page;
      return std::shared_ptr<UnderStore>(guard_store(sim_, guard, real_clock(), 1));
    };
    cluster_ = std::make_unique<InProcessCluster>(options);
    ASSERT_TRUE(cluster_->start());
    AttachmentOptions attachment;
    attachment.metadata_ttl = metadata_ttl;
    attachment.page_size_bytes = page_size;
    const Status attached = cluster_->attach("/data", std::string(sim_->uri()), attachment);
    ASSERT_TRUE(attached) << attached.error().to_string();
  }
  Client connect(milliseconds deadline = seconds(20)) {
    ClientOptions options = cluster_->client_options();
    options.direct_store_reads = false;
    options.read_deadline = deadline;
    options.metadata_deadline = deadline;
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  static bool is_version(const std::string& path, std::uint64_t version, std::span<const std::byte> bytes) {
    return !oracle_mismatch(bytes, oracle_seed(path), version, 0);
  }

  std::shared_ptr<SimStore> sim_ = std::make_shared<SimStore>(real_clock(), "s3://lake/raw");
  std::unique_ptr<InProcessCluster> cluster_;
};

// The file is replaced just before, or in the middle of, the k-th request to the store, for every k.
TEST_F(StoreFaults, ASwitchAtAnyRequestGivesOneVersionOrStaleNeverAMix) {
  constexpr std::uint64_t length = 16 * page + 1234;
  start(milliseconds(0));
  const Client client = connect();
  int stale = 0;
  int whole = 0;
  for (const auto kind : {SimFault::Kind::switch_before, SimFault::Kind::switch_during}) {
    bool hit = true;
    for (std::uint64_t k = 0; hit; ++k) {
      ASSERT_LT(k, 40U);
      const std::string path = "f" + std::to_string(k) + (kind == SimFault::Kind::switch_before ? "b" : "d");
      ASSERT_TRUE(sim_->put_file(path, length));
      auto file = client.open("/data/" + path);
      ASSERT_TRUE(file) << file.error().to_string();
      const std::uint64_t call = sim_->calls(SimOp::read) + k;
      sim_->at_call(SimOp::read, call, {.kind = kind});
      std::vector<std::byte> bytes(length);
      const Result<std::size_t> read = file->pread(bytes, 0);
      hit = sim_->calls(SimOp::read) > call;
      if (read) {
        ++whole;
        EXPECT_EQ(*read, length);
        EXPECT_TRUE(is_version(path, 1, bytes)) << "request " << k << ": bytes of another version, or a mix";
      } else {
        ++stale;
        EXPECT_EQ(read.code(), Code::stale) << "request " << k << ": " << read.error().to_string();
      }
      sim_->no_more_faults();
      const std::uint64_t now = hit ? 2 : 1;
      const auto again = client.read_file("/data/" + path);
      ASSERT_TRUE(again) << again.error().to_string();
      EXPECT_TRUE(is_version(path, now, std::as_bytes(std::span(*again)))) << "request " << k << ", opened again";
    }
  }
  EXPECT_GE(stale, 2 * 4) << "each request of the file was met";
  EXPECT_GE(whole, 2) << "and the reads that were not";
}

TEST_F(StoreFaults, AStoreThatIsAwayIsNotAnEmptyOne) {
  start(milliseconds(50));
  ASSERT_TRUE(sim_->put_directory("d"));
  ASSERT_TRUE(sim_->put_file("d/cached", 5 * page));
  ASSERT_TRUE(sim_->put_file("d/cold", 5 * page));
  const Client client = connect(seconds(5));
  ASSERT_TRUE(client.read_file("/data/d/cached"));
  ASSERT_TRUE(client.stat("/data/d/cold"));
  ASSERT_TRUE(client.list("/data/d"));
  sim_->set_reachable(SimReachable::no);
  for (int round = 0; round < 20; ++round) {
    const auto cached = client.read_file("/data/d/cached");
    ASSERT_TRUE(cached) << "cached reads go on: " << cached.error().to_string();
    EXPECT_TRUE(is_version("d/cached", 1, std::as_bytes(std::span(*cached))));
  }
  const auto cold = client.read_file("/data/d/cold");
  ASSERT_FALSE(cold);
  EXPECT_NE(cold.code(), Code::not_found) << cold.error().to_string();
  EXPECT_TRUE(client.stat("/data/d/cold")) << "what was known is still known";
  const auto unknown = client.stat("/data/d/never seen");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.code(), Code::not_found) << "nobody could ask: " << unknown.error().to_string();
  const auto listed = client.list("/data/d");
  ASSERT_TRUE(listed) << listed.error().to_string();
  EXPECT_EQ(listed->items.size(), 2U);
  sim_->set_reachable(SimReachable::yes);
  const Deadline within = Deadline::after(real_clock(), seconds(5));
  Result<std::string> back = Error();
  while (!back && !within.expired(real_clock().now())) back = client.read_file("/data/d/cold");
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_TRUE(is_version("d/cold", 1, std::as_bytes(std::span(*back))));
}

TEST_F(StoreFaults, ManyWhoAskForOnePathAreOneQuestionToTheStore) {
  start(milliseconds(0));
  ASSERT_TRUE(sim_->put_file("f", page));
  const Client client = connect();
  ASSERT_TRUE(client.stat("/data/f"));
  constexpr int clients = 100;
  std::vector<Client> all;
  for (int i = 0; i < clients; ++i) all.push_back(connect());
  // The next question is slow, so that everyone below comes while it is under way.
  const SimFault slow{.kind = SimFault::Kind::delay, .delay = seconds(2)};
  sim_->at_next_call(SimOp::stat, slow);
  const std::uint64_t before = sim_->calls(SimOp::stat);
  std::atomic<int> answered{0};
  std::atomic<int> ended{0};
  for (const Client& one : all) {
    one.async_stat("/data/f", [&](const Result<FileStatus>& status) {
      if (status) ++answered;
      ++ended;
    });
  }
  while (ended < clients) std::this_thread::yield();  // bounded by the deadline of each
  EXPECT_EQ(answered, clients);
  // One that was under way, and one that began after the last of them came: an answer is never older than its question.
  EXPECT_LE(sim_->calls(SimOp::stat) - before, 10U);
}

// An hour of metadata_ttl: without the event nobody would ask the store again.
TEST_F(StoreFaults, AnEventOfTheStoreIsSeenAtOnceWhateverTheTtl) {
  start(std::chrono::hours(1));
  ASSERT_TRUE(sim_->put_directory("d"));
  ASSERT_TRUE(sim_->put_file("d/old", page));
  const Client before = connect();
  ASSERT_TRUE(before.read_file("/data/d/old"));
  EXPECT_EQ(before.stat("/data/d/new").code(), Code::not_found);
  const std::string version = before.stat("/data/d/old")->version;
  const std::uint16_t port = cluster_->master()->events_port();
  const auto eventually = [&](const std::function<bool(const Client&)>& holds) {
    const Deadline within = Deadline::after(real_clock(), seconds(10));
    bool held = false;
    while (!held && !within.expired(real_clock().now())) held = holds(connect());  // a client that remembers nothing
    return held;
  };
  ASSERT_TRUE(sim_->replace_file("d/old"));
  ASSERT_TRUE(sim_->put_file("d/new", page));
  EXPECT_EQ(connect().stat("/data/d/old")->version, version) << "the master has no reason to ask yet";
  EXPECT_EQ(post(port, "wrong", event("ObjectCreated:Put", "raw/d/old")), "HTTP/1.1 401 Unauthorized");
  EXPECT_EQ(post(port, token, "no event"), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(post(port, token, event("ObjectCreated:Put", "other/d/old")), "HTTP/1.1 200 OK") << "none of ours";
  EXPECT_EQ(post(port, token, event("ObjectCreated:Put", "raw/d/old")), "HTTP/1.1 200 OK");
  EXPECT_TRUE(eventually([&](const Client& client) { return client.stat("/data/d/old")->version != version; }));
  EXPECT_EQ(post(port, token, event("ObjectCreated:Put", "raw/d/new")), "HTTP/1.1 200 OK");
  EXPECT_TRUE(eventually([&](const Client& client) { return client.stat("/data/d/new").has_value(); }));
  ASSERT_TRUE(sim_->take_away("d/old"));
  EXPECT_EQ(post(port, token, event("ObjectRemoved:Delete", "raw/d/old")), "HTTP/1.1 200 OK");
  EXPECT_TRUE(eventually([&](const Client& client) { return client.stat("/data/d/old").code() == Code::not_found; }));
  // Who knew it is told, whatever its ttl.
  EXPECT_TRUE(eventually([&](const Client&) { return before.stat("/data/d/old").code() == Code::not_found; }));
  // How late the master heard of them, counted from the time that the store gave (the first day of 2026).
  const std::string exported = metrics().to_prometheus();
  const std::string sum = "hearth_master_event_staleness_seconds_sum";
  const auto at = exported.find("\n" + sum);
  ASSERT_NE(at, std::string::npos);
  const auto year_2026 = std::chrono::seconds(1'767'225'600);
  EXPECT_GE(std::stod(exported.substr(exported.find(' ', at))), static_cast<double>((real_clock().wall_now().time_since_epoch() - year_2026) / seconds(1)) - 60);
}

}  // namespace
}  // namespace hearth::testing
