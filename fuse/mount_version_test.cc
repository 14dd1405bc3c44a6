// One kernel inode is one version: changes under open files, passthrough, and what happens when they mix.
#include "fuse/testing/mount_fixture.h"

#include "common/fd.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

namespace hearth {
namespace {

using testing::FakeSource;
using testing::oracle_bytes;

class MountVersionTest : public testing::MountFixture {
 protected:
  UniqueFd open(const std::string& path) const { return UniqueFd(::open(at(path).c_str(), O_RDONLY | O_CLOEXEC)); }
  static std::string pread_all(const UniqueFd& fd, std::size_t size) {
    std::string text(size, '\0');
    const ssize_t count = ::pread(fd.get(), text.data(), size, 0);
    return count < 0 ? "errno " + std::to_string(errno) : text.substr(0, count);
  }
};

TEST_F(MountVersionTest, AnOpenHandleKeepsItsVersionAndANewOpenGetsTheNewOne) {
  constexpr std::size_t length = 200'000;
  const auto before = source_->put_file("/f", length);
  mount();
  const UniqueFd old_handle = open("/f");
  ASSERT_EQ(pread_all(old_handle, 4096), oracle_bytes(before, 0, 4096));  // and its pages are cached
  const auto after = source_->put_file("/f", length);                     // same size
  const UniqueFd new_handle = open("/f");
  EXPECT_EQ(pread_all(new_handle, length), oracle_bytes(after, 0, length));
  EXPECT_EQ(pread_all(old_handle, length), oracle_bytes(before, 0, length));
  const auto shorter = source_->put_file("/f", 1000);
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(shorter, 0, 1000));
  struct stat info {};
  ASSERT_EQ(::fstat(old_handle.get(), &info), 0);
  EXPECT_EQ(static_cast<std::size_t>(info.st_size), length) << "the old handle still has its own length";
  ASSERT_EQ(::stat(at("/f").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, 1000);
}

TEST_F(MountVersionTest, AChangeInsideTheTtlIsCaughtByOpenAndRetriedByTheKernel) {
  constexpr std::size_t length = 50'000;
  source_->set_ttl(std::chrono::hours(1));  // the kernel will not ask for the name again by itself
  source_->put_file("/f", length);
  mount();
  struct stat info {};
  ASSERT_EQ(::stat(at("/f").c_str(), &info), 0);
  const auto after = source_->put_file("/f", length);
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(after, 0, length));
  EXPECT_EQ(mount_->stats().stale_opens, 1U);
}

TEST_F(MountVersionTest, PagesStayCachedAcrossOpensOfOneVersion) {
  constexpr std::size_t length = 1'000'000;
  const auto version = source_->put_file("/f", length);
  mount();
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, length));
  const auto read_before = mount_->stats().copied_read_bytes;
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, length));
  EXPECT_EQ(mount_->stats().copied_read_bytes, read_before) << "the second read came from the page cache";
}

TEST_F(MountVersionTest, AResidentFileIsReadByTheKernelItself) {
  constexpr std::size_t length = 3'000'001;
  const auto version = source_->put_file("/f", length, FakeSource::Resident::yes);
  mount();
  ASSERT_EQ(mount_->stats().passthrough, "on") << "needs a kernel of 6.9 or newer";
  {
    const UniqueFd fd = open("/f");
    EXPECT_EQ(pread_all(fd, length + 100), oracle_bytes(version, 0, length)) << "and not a byte more";
    void* mapped = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    EXPECT_EQ(std::memcmp(mapped, oracle_bytes(version, 0, length).data(), length), 0);
    ::munmap(mapped, length);
    EXPECT_EQ(mount_->stats().backing_files, 1U);
  }
  const auto stats = mount_->stats();
  EXPECT_EQ(stats.passthrough_opens, 1U);
  EXPECT_EQ(stats.mapped_read_bytes + stats.copied_read_bytes, 0U) << "the daemon saw no read";
  EXPECT_TRUE(eventually([&] { return mount_->stats().backing_files == 0 && source_->live_mappings() == 0; }));
}

TEST_F(MountVersionTest, AResidentFileOfAnyLengthIsReadByTheKernelItself) {
  const std::vector<std::size_t> lengths{1, 4095, 4096, 4097, (1U << 20) + 17};
  std::vector<std::uint64_t> versions;
  for (const auto length : lengths) {
    versions.push_back(source_->put_file("/" + std::to_string(length), length, FakeSource::Resident::yes));
  }
  mount();
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    const std::size_t length = lengths[i];
    const UniqueFd fd = open("/" + std::to_string(length));
    ASSERT_TRUE(fd);
    EXPECT_EQ(mount_->stats().passthrough_opens, i + 1) << length;
    char past = 'x';
    EXPECT_EQ(::pread(fd.get(), &past, 1, static_cast<off_t>(length)), 0) << length;
    EXPECT_EQ(::pread(fd.get(), &past, 1, static_cast<off_t>(length) + 4096), 0) << length;
    EXPECT_EQ(pread_all(fd, length + 5000), oracle_bytes(versions[i], 0, length));
    const std::size_t paged = (length + 4095) / 4096 * 4096;
    void* mapped = ::mmap(nullptr, paged, PROT_READ, MAP_SHARED, fd.get(), 0);
    ASSERT_NE(mapped, MAP_FAILED);
    const std::string shown(static_cast<const char*>(mapped), paged);
    ::munmap(mapped, paged);
    EXPECT_TRUE(shown == oracle_bytes(versions[i], 0, length) + std::string(paged - length, '\0')) << length;
  }
  EXPECT_EQ(mount_->stats().mapped_read_bytes + mount_->stats().copied_read_bytes, 0U) << "the daemon saw no read";
}

TEST_F(MountVersionTest, ABlockThatIsLongerThanItsFileIsNotPassedThrough) {
  source_->set_block_slack(2U << 20);
  const auto version = source_->put_file("/f", 100'001, FakeSource::Resident::yes);
  mount();
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 100'001));
  EXPECT_EQ(mount_->stats().passthrough_opens, 0U);
  EXPECT_EQ(mount_->stats().mapped_read_bytes, 100'001U);
}

TEST_F(MountVersionTest, WithPassthroughOffAResidentFileIsAnsweredFromItsMapping) {
  const auto version = source_->put_file("/f", 100'001, FakeSource::Resident::yes);
  auto with = options();
  with.passthrough = MountOptions::Passthrough::off;
  mount(with);
  EXPECT_EQ(read_all(at("/f")), oracle_bytes(version, 0, 100'001));
  EXPECT_EQ(mount_->stats().passthrough_opens, 0U);
  EXPECT_EQ(mount_->stats().copied_read_bytes, 0U);
}

TEST_F(MountVersionTest, MixingModesNeverFailsAnOpen) {
  constexpr std::size_t length = 300'000;
  auto version = source_->put_file("/f", length);
  mount();
  const UniqueFd cold = open("/f");
  ASSERT_EQ(pread_all(cold, length), oracle_bytes(version, 0, length));
  source_->make_resident("/f");
  const UniqueFd resident = open("/f");  // the node is in use through the page cache
  ASSERT_TRUE(resident) << std::strerror(errno);
  EXPECT_EQ(pread_all(resident, length), oracle_bytes(version, 0, length));
  const auto old_version = version;
  version = source_->put_file("/f", length, FakeSource::Resident::yes);
  const UniqueFd through = open("/f");
  ASSERT_TRUE(through) << std::strerror(errno);
  EXPECT_EQ(mount_->stats().passthrough_opens, 1U);
  EXPECT_EQ(pread_all(through, length), oracle_bytes(version, 0, length));
  const UniqueFd again = open("/f");
  ASSERT_TRUE(again) << std::strerror(errno);
  EXPECT_EQ(pread_all(again, length), oracle_bytes(version, 0, length));
  EXPECT_EQ(pread_all(cold, length), oracle_bytes(old_version, 0, length));
}

TEST_F(MountVersionTest, ManyOpensAndChangesAtOnceNeverFailOrMix) {
  constexpr std::size_t length = 20'000;
  source_->put_file("/f", length);
  mount();
  constexpr int readers = 8, rounds = 300;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < readers; ++reader) {
    threads.emplace_back([&] {
      for (int round = 0; round < rounds; ++round) {
        const UniqueFd fd = open("/f");
        // Twice a change between lookup and open is possible, and honest.
        if (!fd) { failures += errno == ESTALE ? 0 : 1; continue; }
        const std::string bytes = pread_all(fd, length);
        char version[64];
        const ssize_t size = ::fgetxattr(fd.get(), "user.hearth.version", version, sizeof version);
        const std::uint64_t number = size > 1 ? std::stoull(std::string(version + 1, size - 1)) : 0;
        if (bytes != oracle_bytes(number, 0, length)) ++failures;
      }
    });
  }
  for (int change = 0; change < 200; ++change) {
    source_->put_file("/f", length, change % 2 == 0 ? FakeSource::Resident::yes : FakeSource::Resident::no);
    if (change % 4 == 1) source_->make_resident("/f");
    EXPECT_LT(read_all(at("/f")).size(), length + 1);
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(MountVersionTest, AColdFileIsPrefetchedAndItsNextOpenPassedThrough) {
  source_->put_file("/f", 2U << 20);
  auto with = options();
  with.prefetch = MountOptions::Prefetch::on_open;
  mount(with);
  EXPECT_EQ(read_all(at("/f")).size(), 2U << 20);
  EXPECT_TRUE(eventually([&] { return source_->loads() == 1; }));
  EXPECT_TRUE(eventually([&] { return mount_->stats().open_files == 0; }));
  EXPECT_TRUE(eventually([&] { return open("/f") && mount_->stats().passthrough_opens > 0; }));
}

}  // namespace
}  // namespace hearth
