#include "understore/open_file.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace hearth {
namespace {

constexpr std::size_t kib = 1024;
constexpr std::size_t file_bytes = 1024 * kib + 100;

std::byte expected_byte(std::size_t at) { return static_cast<std::byte>((at * 31 + at / 4096) & 0xFF); }

// A file on the disk that holds the working directory (a temporary directory may be a tmpfs, which has no disk).
class OpenFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = "open_file_test.XXXXXX";
    writer_ = UniqueFd(::mkstemp(path_.data()));
    ASSERT_TRUE(writer_);
    std::vector<std::byte> content(file_bytes);
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = expected_byte(i);
    ASSERT_EQ(::pwrite(writer_.get(), content.data(), content.size(), 0), static_cast<ssize_t>(file_bytes));
    file_ = std::make_unique<OpenFile>(UniqueFd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)));
    ASSERT_GE(file_->fd(), 0);
    buffer_.reset(static_cast<std::byte*>(::operator new[](file_bytes + 4096, std::align_val_t{4096})));
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  void drop_page_cache() {
    ASSERT_EQ(::fsync(writer_.get()), 0);
    ASSERT_EQ(::posix_fadvise(writer_.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  }
  std::size_t cached_pages() const {
    void* mapping = ::mmap(nullptr, file_bytes, PROT_READ, MAP_SHARED, writer_.get(), 0);
    std::vector<unsigned char> resident((file_bytes + 4095) / 4096);
    EXPECT_EQ(::mincore(mapping, file_bytes, resident.data()), 0);
    ::munmap(mapping, file_bytes);
    return static_cast<std::size_t>(std::count_if(resident.begin(), resident.end(), [](unsigned char r) { return r & 1; }));
  }
  // Reads [offset, offset + length) as a caller does, in as many reads as it takes, to `shift` bytes into the buffer.
  void expect_bytes(std::size_t offset, std::size_t length, std::size_t shift = 0) {
    const std::span<std::byte> into(buffer_.get() + shift, length);
    std::fill(into.begin(), into.end(), std::byte{0xEE});
    std::size_t done = 0;
    while (done < length) {
      const ssize_t count = file_->read(into.subspan(done), offset + done);
      ASSERT_GT(count, 0);
      done += static_cast<std::size_t>(count);
    }
    for (std::size_t i = 0; i < length; ++i) ASSERT_EQ(into[i], expected_byte(offset + i)) << "at " << offset + i;
  }
  bool direct_works() const {
    const UniqueFd direct(::open(path_.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
    return direct && ::pread(direct.get(), buffer_.get(), 4096, 0) == 4096;
  }

  struct Free {
    void operator()(std::byte* bytes) const { ::operator delete[](bytes, std::align_val_t{4096}); }
  };
  std::string path_;
  UniqueFd writer_;
  std::unique_ptr<OpenFile> file_;
  std::unique_ptr<std::byte[], Free> buffer_;
};

TEST_F(OpenFileTest, AColdAlignedReadGoesPastThePageCache) {
  drop_page_cache();
  if (cached_pages() != 0 || !direct_works()) {
    if (std::getenv("HEARTH_CI") != nullptr) FAIL() << "the build directory is on a file system without direct I/O";
    GTEST_SKIP() << "the working directory is on a file system without direct I/O";
  }
  expect_bytes(0, 1024 * kib);
  EXPECT_EQ(cached_pages(), 0U);
}

TEST_F(OpenFileTest, TheUnalignedTailIsReadToo) {
  drop_page_cache();
  expect_bytes(512 * kib, file_bytes - 512 * kib);
  EXPECT_EQ(file_->read(std::span(buffer_.get(), 4096), file_bytes), 0) << "the end";
}

TEST_F(OpenFileTest, WrittenBytesThatAreNotOnTheDiskYetAreRead) {
  expect_bytes(0, file_bytes);
}

TEST_F(OpenFileTest, UnalignedPlacesAndSmallReadsAreRight) {
  drop_page_cache();
  expect_bytes(100, 600 * kib);
  drop_page_cache();
  expect_bytes(4096, 256 * kib, 8);
  drop_page_cache();
  expect_bytes(8192, 4096);
}

}  // namespace
}  // namespace hearth
