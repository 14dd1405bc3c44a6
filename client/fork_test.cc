// Forked children of a process with a client in the middle of its work, against a scripted cluster.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"
#include "common/fork.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

// A child of a program with threads starts threads of its own here.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

namespace hearth::client::testing {
namespace {

// AddressSanitizer of g++ 12 does not take the locks of its allocator over a fork, as glibc does: a child of a process whose
// other threads allocate may wait for one for ever.
#ifdef __SANITIZE_ADDRESS__
constexpr bool others_may_allocate = false;
#else
constexpr bool others_may_allocate = true;
#endif

constexpr std::size_t large_bytes = 2U << 20;
constexpr std::size_t small_bytes = 3000;

class ForkedClient : public ::testing::Test {
 protected:
  ForkedClient() {
    char made[] = "/tmp/hearth-fork-XXXXXX";
    directory_ = ::mkdtemp(made);
    worker_ = std::make_unique<FakeWorker>(1, directory_ + "/w.sock");
    content_.resize(large_bytes);
    for (std::size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>((i * 2654435761U) >> 9);
    publish("/large", content_, 60'000);
    publish("/small", content_.substr(0, small_bytes), 60'000);
    publish("/fresh", content_.substr(0, small_bytes), 0);  // asked for each time
    master_.set_workers({worker_->info()});
  }
  ~ForkedClient() override { std::filesystem::remove_all(directory_); }

  void publish(const std::string& path, std::string content, std::uint64_t ttl_ms) {
    FakeFile file;
    file.content = std::move(content);
    file.ttl_ms = ttl_ms;
    master_.put(path, file);
    worker_->hold(path, file);
  }
  Client connect() {
    ClientOptions options;
    options.master = master_.tcp_address();
    auto client = Client::connect(options);
    EXPECT_TRUE(client) << client.error().to_string();
    return *client;
  }
  bool is_right(std::span<const std::byte> bytes, std::uint64_t offset) const {
    return std::memcmp(bytes.data(), content_.data() + offset, bytes.size()) == 0;
  }
  bool reads_right(const Client& client, const std::string& path, std::size_t length) const {
    auto file = client.open(path);
    std::vector<std::byte> into(length);
    if (!file) return false;
    auto count = file->pread(into, 0);
    return count && *count == length && is_right(into, 0);
  }
  // Runs `work` in a forked child, which a hang ends by SIGALRM; its exit status, or minus the signal.
  template <class Work>
  static int in_child(Work work) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::alarm(20);
      ::_exit(work());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

  std::string directory_;
  std::string content_;
  FakeMaster master_;
  std::unique_ptr<FakeWorker> worker_;
};

// The number of the first call that was not refused as it should be; 0: all were.
int first_not_refused(const Client& client, const File& file) {
  const auto refused = [](Code code) { return code == Code::invalid_argument; };
  std::vector<std::byte> into(100);
  std::optional<Code> told;
  int number = 0;
  for (const bool right : {
           refused(client.usable().code()),
           refused(file.usable().code()),
           refused(file.pread(into, 0).code()),
           refused(file.read_view(0, 10).code()),
           refused(file.map().code()),
           refused(file.load(0, 10).code()),
           refused(file.resident_bytes().code()),
           refused(client.stat("/small").code()),
           refused(client.list("/").code()),
           refused(client.open("/small").code()),
           refused(client.read_file("/small").code()),
           refused(client.locations("/small").code()),
           refused(client.workers().code()),
           refused(client.attachments().code()),
           refused(client.attach("/x", "file:///x", {}).code()),
           refused(client.detach("/x").code()),
           refused(client.free("/x", true).code()),
           refused(client.master_status().code()),
           refused(client.policy().code()),
           refused(client.policies().code()),
           refused(client.check_policy("").code()),
           refused(client.what_if().code()),
           refused(client.stop_trace().code()),
       }) {
    ++number;
    if (!right) return number;
  }
  file.async_pread(into, 0, [&](Result<std::size_t> count) { told = count.code(); });
  if (told != Code::invalid_argument) return 101;
  told.reset();
  client.async_open("/small", [&](Result<File> opened) { told = opened.code(); });
  if (told != Code::invalid_argument) return 102;
  told.reset();
  client.async_stat("/small", [&](Result<FileStatus> status) { told = status.code(); });
  if (told != Code::invalid_argument) return 103;
  CallOptions options;
  options.cancellation.emplace().cancel();
  options.deadline = std::chrono::milliseconds(10);
  if (!refused(file.pread(into, 0, options).code()) || !refused(client.stat("/small", options).code()) ||
      !refused(client.open("/small", options).code())) return 107;
  const std::vector<std::string> paths{"/small", "/large"};
  std::vector<ReadItem> items{ReadItem{.file = file, .offset = 0, .into = into}};
  if (!refused(client.stat_many(paths)[1].code()) || !refused(client.open_many(paths)[1].code())) return 105;
  if (!refused(client.read_many(items).code())) return 106;
  client.forget();
  (void)client.counters();
  if (client.stat("/small").error().message().find("connect again") == std::string::npos) return 104;
  return 0;
}

TEST_F(ForkedClient, EveryCallInTheChildIsRefusedAtOnce) {
  const Client client = connect();
  auto file = client.open("/large");
  ASSERT_TRUE(file);
  std::vector<std::byte> into(4096);
  ASSERT_TRUE(file->pread(into, 0));
  EXPECT_EQ(in_child([&] { return first_not_refused(client, *file); }), 0);
  EXPECT_TRUE(reads_right(client, "/large", large_bytes));
}

TEST_F(ForkedClient, TheChildMayLetGoOfEverything) {
  auto client = std::make_unique<Client>(connect());
  auto file = std::make_unique<File>(*client->open("/large"));
  auto remote = std::make_unique<File>(*client->open("/small"));
  std::vector<std::byte> into(small_bytes);
  ASSERT_TRUE(remote->pread(into, 0));
  auto view = std::make_unique<ReadView>(*file->read_view(0, 100));
  EXPECT_EQ(in_child([&] {
              client.reset();
              file.reset();
              remote.reset();
              view.reset();
              return 0;
            }), 0);
  EXPECT_TRUE(reads_right(*client, "/large", large_bytes));
  EXPECT_TRUE(is_right(view->bytes, 0));
}

TEST_F(ForkedClient, TheChildMayEndByExitWithAClientInAGlobal) {
  static std::optional<Client> global;
  global = connect();
  ASSERT_TRUE(reads_right(*global, "/large", large_bytes));
  std::fflush(nullptr);
  EXPECT_EQ(in_child([&]() -> int {
              const int wrong = global->stat("/small").code() == Code::invalid_argument ? 0 : 1;
#ifdef __SANITIZE_ADDRESS__
              global.reset();  // what the parent's threads hold would be taken for leaks
              return wrong;
#else
              std::exit(wrong);
#endif
            }), 0);
  EXPECT_TRUE(reads_right(*global, "/small", small_bytes));
  global.reset();
}

// Locks of the library are held by other threads at some of these forks.
TEST_F(ForkedClient, ForkingWhileOtherThreadsAreInsideOfCallsHangsNobody) {
  if (!others_may_allocate) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  const Client client = connect();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<std::uint64_t> rounds{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      while (!stop) {
        const bool right = i % 2 == 0 ? reads_right(client, "/fresh", small_bytes) && client.list("/")
                                      : reads_right(client, "/large", 70'000) && client.stat("/small");
        if (!right) ++wrong;
        ++rounds;
        client.forget(i == 0 ? "" : "/fresh");
      }
    });
  }
  auto file = client.open("/large");
  ASSERT_TRUE(file);
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t before = rounds;
    const int ended = in_child([&] {
      const int not_refused = first_not_refused(client, *file);
      if (not_refused != 0) return not_refused;
      File copy = *file;
      Client other = client;
      return 0;
    });
    EXPECT_EQ(ended, 0) << "fork " << i;
    while (rounds == before) std::this_thread::yield();
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(ForkedClient, AFreshClientInTheChildWorksAlsoWhileTheParentIsBusy) {
  // The servers of the test are threads of the parent, too: now and then the child stood still under AddressSanitizer.
  if (!others_may_allocate) GTEST_SKIP() << "the allocator of AddressSanitizer can not be forked while other threads use it";
  const Client client = connect();
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) (void)reads_right(client, "/fresh", small_bytes);
  });
  for (int i = 0; i < 5; ++i) {
    const int ended = in_child([&] {
      ClientOptions options;
      options.master = master_.tcp_address();
      auto own = Client::connect(options);
      if (!own) return 1;
      if (!reads_right(*own, "/large", large_bytes) || !reads_right(*own, "/small", small_bytes)) return 2;
      if (client.stat("/small").code() != Code::invalid_argument) return 3;
      // And a child of the child.
      return in_child([&] { return own->stat("/small").code() == Code::invalid_argument ? 0 : 4; });
    });
    EXPECT_EQ(ended, 0);
  }
  stop = true;
  busy.join();
  EXPECT_TRUE(reads_right(client, "/large", large_bytes));
}

TEST_F(ForkedClient, AForkPastTheHandlersIsNoticedToo) {
  const Client client = connect();
  const pid_t child = ::_Fork();
  if (child == 0) ::_exit(client.stat("/small").code() == Code::invalid_argument ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(ForkedClient, ViewsStayReadableInTheChildAlsoAfterTheParentLetGo) {
  auto client = std::make_unique<Client>(connect());
  auto file = std::make_unique<File>(*client->open("/large"));
  auto view = file->read_view(1000, 50'000);
  ASSERT_TRUE(view);
  auto mapped = file->map();
  ASSERT_TRUE(mapped) << mapped.error().to_string();
  int released[2];
  ASSERT_EQ(::pipe(released), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    char byte = 0;
    const bool told = ::read(released[0], &byte, 1) == 1;
    std::vector<std::byte> through_fd(100);
    const auto from_fd = ::pread(mapped->fd, through_fd.data(), through_fd.size(), static_cast<off_t>(mapped->fd_offset_bytes));
    const bool right = told && is_right(view->bytes, 1000) && is_right(mapped->bytes, 0) && from_fd == 100 && is_right(through_fd, 0);
    view->hold.reset();
    mapped->hold.reset();
    ::_exit(right ? 0 : 1);
  }
  view->hold.reset();
  mapped->hold.reset();
  file.reset();
  client.reset();
  ASSERT_EQ(::write(released[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ::close(released[0]);
  ::close(released[1]);
}

// Descriptors and mappings of the scripted workers' blocks in this process.
int block_copies() {
  int count = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) count += line.find("fake-block") != std::string::npos ? 1 : 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    count += std::filesystem::read_symlink(entry.path(), ignored).string().find("fake-block") != std::string::npos ? 1 : 0;
  }
  return count;
}

// A worker could not free what it took back, as long as some child lived.
TEST_F(ForkedClient, TheChildInheritsNoMemoryThatNoViewShows) {
  const Client client = connect();
  ASSERT_TRUE(reads_right(client, "/large", large_bytes));
  while (block_copies() != 2) std::this_thread::yield();  // the worker, in this process too, has closed what it sent
  EXPECT_EQ(in_child([] { return block_copies(); }), 0);
}

TEST_F(ForkedClient, ConnectionsEndWithTheParentWhileTheChildLives) {
  auto client = std::make_unique<Client>(connect());
  ASSERT_TRUE(reads_right(*client, "/large", large_bytes));
  int hold[2];
  ASSERT_EQ(::pipe(hold), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    ::close(hold[1]);
    char byte = 0;
    ::_exit(::read(hold[0], &byte, 1) == 0 ? 0 : 1);
  }
  client.reset();
  while (worker_->connections_ended() == 0) std::this_thread::yield();  // leases end with it
  ::close(hold[0]);
  ::close(hold[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(Fork, DescriptorsThatWereKeptAreNotClosed) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  closed_in_child(ends[0]);
  closed_in_child(ends[1]);
  kept_in_child(ends[1]);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::fcntl(ends[0], F_GETFD) == -1 && ::fcntl(ends[1], F_GETFD) != -1 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_NE(::fcntl(ends[0], F_GETFD), -1) << "the parent keeps its own";
  kept_in_child(ends[0]);
  ::close(ends[0]);
  ::close(ends[1]);
  closed_in_child(-1);
  closed_in_child(1 << 20);
}

}  // namespace
}  // namespace hearth::client::testing
