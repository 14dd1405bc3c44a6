// A program of its own, because it replaces the global operator new.
#include <hearth/client.h>

#include "client/src/testing_cluster.h"

#include <gtest/gtest.h>

#include <sys/syscall.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <new>
#include <random>

namespace {
thread_local std::uint64_t allocations_here = 0;
}

void* operator new(std::size_t size) {
  ++allocations_here;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace hearth::client::testing {
namespace {

TEST(WarmRead, AllocatesNothing) {
  char made[] = "/tmp/hearth-warm-XXXXXX";
  const std::string directory = ::mkdtemp(made);
  {
    FakeFile file;
    file.content = std::string(4 << 20, 'w');
    FakeMaster master;
    FakeWorker worker(1, directory + "/w.sock");
    master.put("/a", file);
    worker.hold("/a", file);
    master.set_workers({worker.info()});
    ClientOptions options;
    options.master = master.tcp_address();
    auto client = Client::connect(options);
    ASSERT_TRUE(client);
    auto opened = client->open("/a");
    ASSERT_TRUE(opened);
    std::vector<std::byte> into(1 << 20);
    ASSERT_TRUE(opened->pread(into, 0));  // grants, maps and verifies
    const auto mapped_before = client->counters().mapped_bytes;
    const std::uint64_t before = allocations_here;
    std::uint64_t got = 0;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
      auto count = opened->pread(std::span(into).first(4096), (i * 7919 * 4096) % (4 << 20));
      got += count ? *count : 0;
    }
    EXPECT_EQ(allocations_here, before);
    EXPECT_EQ(client->counters().mapped_bytes - mapped_before, got);
    EXPECT_EQ(got, 10'000U * 4096U);
  }
  std::filesystem::remove_all(directory);
}

TEST(WarmRead, AllocatesNothingForAPackedFile) {
  char made[] = "/tmp/hearth-warm-XXXXXX";
  const std::string directory = ::mkdtemp(made);
  {
    FakeFile file;
    file.content = std::string(100'000, 'w');
    FakeMaster master;
    FakeWorker worker(1, directory + "/w.sock");
    master.put("/a", file);
    worker.hold("/a", file);
    worker.pack("/a", file);
    master.set_workers({worker.info()});
    ClientOptions options;
    options.master = master.tcp_address();
    auto client = Client::connect(options);
    ASSERT_TRUE(client);
    auto opened = client->open("/a");
    ASSERT_TRUE(opened);
    std::vector<std::byte> into(100'000);
    while (client->counters().mapped_bytes == 0) ASSERT_TRUE(opened->pread(into, 0));  // learns, maps and verifies
    const std::uint64_t before = allocations_here;
    std::uint64_t got = 0;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
      auto count = opened->pread(std::span(into).first(4096), (i * 7919) % 90'000);
      got += count ? *count : 0;
    }
    EXPECT_EQ(allocations_here, before);
    EXPECT_EQ(got, 10'000U * 4096U);
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace hearth::client::testing
