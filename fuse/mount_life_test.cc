// How a mount begins and ends: what it refuses, what it cleans up, and that it leaves nothing behind.
#include "fuse/testing/mount_fixture.h"

#include "common/fd.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>
#include <vector>

namespace hearth {
namespace {

using testing::FakeSource;
using testing::oracle_bytes;

class MountLifeTest : public testing::MountFixture {
 protected:
  // The sentence with which starting fails.
  std::string refusal(MountOptions with) {
    auto source = std::make_unique<FakeSource>();
    source->set_store_uris(uris_);
    const auto started = Mount::start(std::move(with), std::unique_ptr<Source>(std::move(source)));
    return started ? "it started" : started.error().message();
  }
  bool is_mounted() const {
    std::ifstream table("/proc/self/mountinfo");
    for (std::string line; std::getline(table, line);) {
      if (line.find(" " + point_ + " ") != std::string::npos) return true;
    }
    return false;
  }
  std::vector<std::string> uris_;
};

TEST_F(MountLifeTest, RefusesUnfitMountPointsInASentenceThatSaysWhatToDo) {
  auto with = options();
  with.mountpoint = at("/missing");
  EXPECT_NE(refusal(with).find("mkdir -p"), std::string::npos);
  std::ofstream(at("/file")) << "x";
  with.mountpoint = at("/file");
  EXPECT_NE(refusal(with).find("is not a directory"), std::string::npos);
  EXPECT_NE(refusal(options()).find("is not empty"), std::string::npos);
  with = options();
  with.occupied = MountOptions::Occupied::allow;
  mount(with);
  EXPECT_NE(refusal(with).find("is a Hearth mount already"), std::string::npos);
  with.mountpoint = "/";
  with.subtree = "/nowhere";
  EXPECT_NE(refusal(with).find("/nowhere can not be mounted"), std::string::npos);
}

TEST_F(MountLifeTest, RefusesToMountInsideOrOverAnAttachedDirectory) {
  uris_ = {"s3://bucket/prefix", "file://" + std::filesystem::path(point_).parent_path().string()};
  EXPECT_NE(refusal(options()).find("contain each other"), std::string::npos);
  std::filesystem::create_directory(at("/st ore"));
  auto with = options();
  with.occupied = MountOptions::Occupied::allow;
  uris_ = {"file://" + point_ + "/st%20ore"};
  EXPECT_NE(refusal(with).find("contain each other"), std::string::npos);
  uris_ = {"file://" + point_ + "/not-of-this-machine", "file:///usr"};
  EXPECT_EQ(refusal(with), "it started");
}

TEST_F(MountLifeTest, RemovesAMountWhoseDaemonDied) {
  {
    const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    const std::string data = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=0,group_id=0";
    ASSERT_EQ(::mount("dead", point_.c_str(), "fuse.hearth", 0, data.c_str()), 0);
  }
  struct stat info {};
  ASSERT_EQ(::stat(point_.c_str(), &info), -1);
  ASSERT_EQ(errno, ENOTCONN);
  source_->put_file("/f", 10);
  mount();
  EXPECT_EQ(read_all(at("/f")).size(), 10U);
  unmount();
  EXPECT_FALSE(is_mounted());
}

TEST_F(MountLifeTest, EndsWhenSomebodyElseUnmounts) {
  mount();
  auto waiting = std::async(std::launch::async, [this] { return mount_->wait(); });
  ASSERT_EQ(::umount2(point_.c_str(), 0), 0);
  EXPECT_TRUE(waiting.get());
  unmount();
}

TEST_F(MountLifeTest, UnmountsWhileFilesAndMappingsAreInUse) {
  const auto version = source_->put_file("/f", 500'000);
  source_->put_file("/r", 500'000, FakeSource::Resident::yes);
  mount();
  const UniqueFd cached(::open(at("/f").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd through(::open(at("/r").c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd directory(::open(point_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  char byte = 0;
  ASSERT_EQ(::pread(cached.get(), &byte, 1, 0), 1);
  EXPECT_EQ(byte, oracle_bytes(version, 0, 1)[0]);
  unmount();
  EXPECT_FALSE(is_mounted());
  EXPECT_EQ(::pread(cached.get(), &byte, 1, 400'000), -1);
  EXPECT_EQ(errno, ENOTCONN);
}

TEST_F(MountLifeTest, ServesOpenFilesDuringTheGraceOfABusyUnmount) {
  const auto version = source_->put_file("/f", 500'000);
  auto with = options();
  with.busy_grace = std::chrono::minutes(1);
  mount(with);
  UniqueFd fd(::open(at("/f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  auto leaving = std::async(std::launch::async, [this] { return mount_->unmount(); });
  while (is_mounted()) std::this_thread::yield();
  std::string bytes(1000, '\0');
  ASSERT_EQ(::pread(fd.get(), bytes.data(), bytes.size(), 300'000), 1000);
  EXPECT_EQ(bytes, oracle_bytes(version, 300'000, 1000));
  fd.reset();  // the last user: no need to wait for the whole grace
  EXPECT_TRUE(leaving.get());
}

extern "C" void ignore_signal(int) {}

TEST_F(MountLifeTest, AnInterruptedHungReadReturnsEintrAndTheMountGoesOn) {
  struct sigaction action {};
  action.sa_handler = ignore_signal;  // without SA_RESTART
  ::sigaction(SIGUSR1, &action, nullptr);
  const auto version = source_->put_file("/f", 4096);
  auto with = options();
  with.interrupt_grace = std::chrono::milliseconds(1);
  mount(with);
  source_->block_reads();
  std::promise<int> result;
  std::thread reader([&] {
    const UniqueFd fd(::open(at("/f").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    alignas(4096) static char page[4096];
    result.set_value(::pread(fd.get(), page, sizeof page, 0) < 0 ? errno : 0);
  });
  source_->wait_for_blocked_reads(1);
  ::pthread_kill(reader.native_handle(), SIGUSR1);
  EXPECT_EQ(result.get_future().get(), EINTR);
  reader.join();
  EXPECT_EQ(mount_->stats().interrupted, 1U);
  source_->resume_reads();
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 4096));
  EXPECT_TRUE(eventually([&] { return mount_->stats().open_files == 0; }));
}

TEST_F(MountLifeTest, HungReadsOfSomeFilesDoNotStopTheOthers) {
  source_->put_file("/hung", 4096);
  const auto version = source_->put_file("/r", 5000, FakeSource::Resident::yes);
  mount();
  source_->block_reads();
  std::vector<std::future<std::string>> readers;
  for (int i = 0; i < 20; ++i) {
    readers.push_back(std::async(std::launch::async, [this] {
      const UniqueFd fd(::open(at("/hung").c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
      alignas(4096) char page[4096];
      return std::to_string(::pread(fd.get(), page, sizeof page, 0));
    }));
  }
  source_->wait_for_blocked_reads(20);
  EXPECT_EQ(read_all(at("/r")), oracle_bytes(version, 0, 5000));
  source_->resume_reads();
  for (auto& reader : readers) EXPECT_EQ(reader.get(), "4096");
}

TEST_F(MountLifeTest, ForgetsEveryNodeThatTheKernelForgets) {
  source_->set_ttl(std::chrono::hours(1));
  for (int d = 0; d < 10; ++d) {
    const std::string directory = "/d" + std::to_string(d);
    source_->add_directory(directory);
    for (int f = 0; f < 100; ++f) source_->put_file(directory + "/f" + std::to_string(f), 10);
  }
  mount();
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(point_)) {
    if (entry.is_regular_file() && read_all(entry.path()).size() == 10) ++files;
  }
  EXPECT_EQ(files, 1000U);
  EXPECT_EQ(mount_->stats().nodes, 1010U);
  EXPECT_TRUE(eventually([&] {
    std::ofstream("/proc/sys/vm/drop_caches") << "2";
    return mount_->stats().nodes == 0;
  })) << mount_->stats().nodes;
  EXPECT_EQ(mount_->stats().open_directories, 0U);
}

TEST_F(MountLifeTest, TenThousandOpensLeaveNoDescriptorAndNoHandle) {
  source_->put_file("/cold", 5000);
  source_->put_file("/resident", 5000, FakeSource::Resident::yes);
  mount();
  const auto cycle = [this] {
    ASSERT_EQ(read_all(at("/cold")).size(), 5000U);
    ASSERT_EQ(read_all(at("/resident")).size(), 5000U);
  };
  for (int i = 0; i < 100; ++i) ASSERT_NO_FATAL_FAILURE(cycle());
  const auto idle = [&] { return mount_->stats().open_files == 0; };
  ASSERT_TRUE(eventually(idle));
  const std::size_t before = open_fds();
  for (int i = 0; i < 5000; ++i) ASSERT_NO_FATAL_FAILURE(cycle());
  ASSERT_TRUE(eventually(idle));
  // A burst may still have added a thread, each with its clone of the device.
  EXPECT_LE(open_fds(), before + 8);
  EXPECT_EQ(mount_->stats().backing_files, 0U);
  EXPECT_EQ(source_->live_mappings(), 0U);
}

TEST_F(MountLifeTest, ARemountLeavesNoDescriptorBehind) {
  std::size_t after_first = 0;
  for (int round = 0; round < 5; ++round) {
    auto source = std::make_unique<FakeSource>();
    const auto version = source->put_file("/f", 1000);
    auto started = Mount::start(options(), std::unique_ptr<Source>(std::move(source)));
    ASSERT_TRUE(started) << started.error().message();
    EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 1000));
    EXPECT_TRUE((*started)->unmount());
    started->reset();
    if (round == 0) after_first = open_fds();
  }
  EXPECT_EQ(open_fds(), after_first);
}

}  // namespace
}  // namespace hearth
