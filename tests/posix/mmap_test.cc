// Files mapped into memory.
#include "tests/posix/suite.h"

#include <unistd.h>

#include <csignal>
#include <cstring>

namespace hearth::posix {
namespace {

using Map = Posix;
using SharedMap = Needs<Feature::mmap_shared>;

constexpr std::size_t page = 4096;

// A mapping that is unmapped at the end of the scope.
class Mapped {
 public:
  Mapped(const UniqueFd& fd, std::size_t length, int protection, int flags, off_t at = 0)
      : length_(length), start_(::mmap(nullptr, length, protection, flags, fd.get(), at)) {
    if (start_ == MAP_FAILED) ADD_FAILURE() << "mmap: " << Errno{errno};
  }
  ~Mapped() { unmap(); }
  Mapped(const Mapped&) = delete;
  explicit operator bool() const { return start_ != MAP_FAILED; }
  char* data() { return static_cast<char*>(start_); }
  std::string bytes(std::size_t at, std::size_t length) { return std::string(data() + at, length); }
  Errno sync() { return errno_of(::msync(start_, length_, MS_SYNC)); }
  void unmap() {
    if (start_ != MAP_FAILED) ::munmap(start_, length_);
    start_ = MAP_FAILED;
  }

 private:
  std::size_t length_;
  void* start_;
};

TEST_F(Map, PrivateShowsTheBytesAndZerosUpToThePage) {
  make_file("file", pattern(10'000));
  const UniqueFd fd = opened("file", O_RDONLY);
  Mapped map(fd, 3 * page, PROT_READ, MAP_PRIVATE);
  ASSERT_TRUE(map);
  EXPECT_TRUE(same(map.bytes(0, 10'000), pattern(10'000)));
  EXPECT_TRUE(same(map.bytes(10'000, 3 * page - 10'000), std::string(3 * page - 10'000, '\0')));
}

TEST_F(Map, OutlivesTheDescriptorAndTheName) {
  make_file("file", pattern(100'000));
  UniqueFd fd = opened("file", O_RDONLY);
  Mapped map(fd, 100'000, PROT_READ, MAP_SHARED);
  ASSERT_TRUE(map);
  fd.reset();
  ASSERT_EQ(::unlink("file"), 0);
  EXPECT_TRUE(same(map.bytes(0, 100'000), pattern(100'000)));
}

TEST_F(Map, PrivateWritesStayPrivate) {
  make_file("file", pattern(page));
  const UniqueFd fd = opened("file", O_RDONLY);
  Mapped map(fd, page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
  ASSERT_TRUE(map);
  std::memcpy(map.data(), "mine", 4);
  EXPECT_TRUE(same(contents("file"), pattern(page)));
}

TEST_F(Map, StartsAtAPageOfTheFile) {
  make_file("file", pattern(5 * page));
  const UniqueFd fd = opened("file", O_RDONLY);
  Mapped map(fd, page, PROT_READ, MAP_SHARED, 3 * page);
  ASSERT_TRUE(map);
  EXPECT_TRUE(same(map.bytes(0, page), pattern(5 * page).substr(3 * page, page)));
  EXPECT_EQ(errno_of(::mmap(nullptr, page, PROT_READ, MAP_SHARED, fd.get(), 100)), EINVAL);
}

TEST_F(Map, BeyondTheEndIsSigbus) {
  make_file("file", pattern(100));
  EXPECT_EQ(in_child([] {
              const UniqueFd fd = opened("file", O_RDONLY);
              Mapped map(fd, 2 * page, PROT_READ, MAP_SHARED);
              std::signal(SIGBUS, [](int) { ::_exit(42); });  // a sanitizer may have one of its own
              if (map.data()[99] != pattern(100)[99]) return 1;
              volatile const char* beyond = map.data() + page;
              return *beyond == 'x' ? 2 : 3;
            }),
            42);
}

TEST_F(Map, OfTruncatedBytesIsSigbus) {
  make_file("file", pattern(3 * page));
  EXPECT_EQ(in_child([] {
              const UniqueFd fd = opened("file", O_RDWR);
              Mapped map(fd, 3 * page, PROT_READ, MAP_SHARED);
              std::signal(SIGBUS, [](int) { ::_exit(42); });
              volatile const char* last = map.data() + 2 * page;
              if (*last != pattern(3 * page)[2 * page] || ::ftruncate(fd.get(), page) != 0) return 1;
              return *last == 'x' ? 2 : 3;
            }),
            42);
}

TEST_F(Map, NeedsTheRightDescriptor) {
  make_file("file", pattern(page));
  const UniqueFd reader = opened("file", O_RDONLY), writer = opened("file", O_WRONLY),
                 directory = opened(".", O_RDONLY);
  EXPECT_EQ(errno_of(::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, reader.get(), 0)), EACCES);
  EXPECT_EQ(errno_of(::mmap(nullptr, page, PROT_READ, MAP_SHARED, writer.get(), 0)), EACCES);
  EXPECT_EQ(errno_of(::mmap(nullptr, page, PROT_READ, MAP_SHARED, directory.get(), 0)), ENODEV);
}

TEST_F(Map, SharedShowsWritesOfOthers) {
  make_file("file", pattern(2 * page));
  const UniqueFd reader = opened("file", O_RDONLY), writer = opened("file", O_RDWR);
  Mapped map(reader, 2 * page, PROT_READ, MAP_SHARED);
  ASSERT_TRUE(map);
  EXPECT_TRUE(same(map.bytes(0, 2 * page), pattern(2 * page)));
  ASSERT_EQ(::pwrite(writer.get(), "written", 7, page - 3), 7);
  EXPECT_TRUE(same(map.bytes(page - 3, 7), "written"));
}

TEST_F(Map, SharedShowsWhatIsAppendedOncePagesExist) {
  make_file("file", "12345");
  const UniqueFd fd = opened("file", O_RDWR);
  Mapped map(fd, 2 * page, PROT_READ, MAP_SHARED);
  ASSERT_TRUE(map);
  EXPECT_TRUE(same(map.bytes(0, 6), std::string("12345\0", 6)));
  ASSERT_EQ(::pwrite(fd.get(), "6789", 4, 5), 4);
  EXPECT_TRUE(same(map.bytes(0, 10), std::string("123456789\0", 10)));
  ASSERT_EQ(::pwrite(fd.get(), "next", 4, page), 4);
  EXPECT_TRUE(same(map.bytes(page, 4), "next"));
}

TEST_F(SharedMap, WritesAreReadAtOnce) {
  make_file("file", pattern(2 * page));
  const UniqueFd fd = opened("file", O_RDWR), reader = opened("file", O_RDONLY);
  ASSERT_EQ(contents(reader.get()), pattern(2 * page));
  Mapped map(fd, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(map);
  std::memcpy(map.data() + page - 2, "mapped", 6);
  EXPECT_TRUE(same(contents(reader.get()).substr(page - 2, 6), "mapped"));
  EXPECT_EQ(in_child([] { return contents("file").substr(page - 2, 6) == "mapped" ? 0 : 1; }), 0);
}

TEST_F(SharedMap, WritesAreThereAfterSyncAndReopen) {
  make_file("file", pattern(10'000));
  {
    const UniqueFd fd = opened("file", O_RDWR);
    Mapped map(fd, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map);
    std::memcpy(map.data() + 9'000, "mapped", 6);
    EXPECT_EQ(map.sync(), 0);
  }
  EXPECT_TRUE(same(contents("file"), pattern(10'000).replace(9'000, 6, "mapped")));
}

TEST_F(SharedMap, WritesAreThereWithoutASync) {
  make_file("file", pattern(10'000));
  {
    UniqueFd fd = opened("file", O_RDWR);
    Mapped map(fd, 10'000, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map);
    fd.reset();  // the descriptor closes before the bytes change
    std::memcpy(map.data() + 100, "mapped", 6);
  }
  EXPECT_TRUE(same(contents("file"), pattern(10'000).replace(100, 6, "mapped")));
}

TEST_F(SharedMap, WritesOfAProcessThatIsKilledStay) {
  make_file("file", pattern(page));
  EXPECT_EQ(in_child([] {
              const UniqueFd fd = opened("file", O_RDWR);
              Mapped map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED);
              std::memcpy(map.data(), "last words", 10);
              ::raise(SIGKILL);
              return 0;
            }),
            256 + SIGKILL);
  EXPECT_TRUE(same(contents("file").substr(0, 10), "last words"));
}

TEST_F(SharedMap, WritesBeyondTheEndChangeNothing) {
  make_file("file", pattern(100));
  {
    const UniqueFd fd = opened("file", O_RDWR);
    Mapped map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map);
    std::memcpy(map.data() + 200, "lost", 4);
    EXPECT_EQ(map.sync(), 0);
  }
  EXPECT_EQ(status("file").st_size, 100);
  ASSERT_EQ(::truncate("file", 1'000), 0);
  EXPECT_TRUE(same(contents("file"), pattern(100) + std::string(900, '\0')));
}

TEST_F(SharedMap, TwoMappingsAreOne) {
  make_file("file", pattern(page));
  const UniqueFd one = opened("file", O_RDWR), two = opened("file", O_RDWR);
  Mapped first(one, page, PROT_READ | PROT_WRITE, MAP_SHARED), second(two, page, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(first && second);
  std::memcpy(first.data() + 10, "first", 5);
  EXPECT_TRUE(same(second.bytes(10, 5), "first"));
  std::memcpy(second.data() + 20, "second", 6);
  EXPECT_TRUE(same(first.bytes(20, 6), "second"));
}

TEST_F(SharedMap, MixesWithWrites) {
  std::string expected = pattern(3 * page);
  make_file("file", expected);
  {
    const UniqueFd fd = opened("file", O_RDWR);
    Mapped map(fd, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map);
    for (std::size_t i = 0; i < 100; ++i) {
      const std::size_t at = i * 113;
      const std::string piece = pattern(50, static_cast<unsigned>(i + 3));
      if (i % 2 == 0) {
        std::memcpy(map.data() + at, piece.data(), 50);
      } else {
        ASSERT_EQ(::pwrite(fd.get(), piece.data(), 50, static_cast<off_t>(at)), 50);
      }
      expected.replace(at, 50, piece);
      EXPECT_TRUE(same(map.bytes(at, 50), piece));
    }
    EXPECT_TRUE(same(contents(fd.get()), expected));
  }
  EXPECT_TRUE(same(contents("file"), expected));
}

TEST_F(SharedMap, FillsAHole) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  ASSERT_EQ(::ftruncate(fd.get(), 1 << 20), 0);
  Mapped map(fd, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(map);
  std::memcpy(map.data() + 500'000, "island", 6);
  EXPECT_EQ(map.sync(), 0);
  std::string expected(1 << 20, '\0');
  EXPECT_TRUE(same(contents("file"), expected.replace(500'000, 6, "island")));
}

TEST_F(SharedMap, WritesMoveTheModificationTime) {
  make_file("file", pattern(page));
  const long long before = mtime(status("file"));
  let_the_clock_move();
  {
    const UniqueFd fd = opened("file", O_RDWR);
    Mapped map(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED);
    ASSERT_TRUE(map);
    map.data()[0] = 'x';
    EXPECT_EQ(map.sync(), 0);
  }
  EXPECT_GT(mtime(status("file")), before);
}

TEST_F(SharedMap, TruncatedBytesDoNotComeBack) {
  make_file("file", pattern(3 * page));
  const UniqueFd fd = opened("file", O_RDWR);
  Mapped map(fd, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED);
  ASSERT_TRUE(map);
  std::memset(map.data(), 'm', 3 * page);
  ASSERT_EQ(::ftruncate(fd.get(), page + 10), 0);
  ASSERT_EQ(::ftruncate(fd.get(), 3 * page), 0);
  EXPECT_TRUE(same(map.bytes(0, 3 * page), std::string(page + 10, 'm') + std::string(2 * page - 10, '\0')));
  EXPECT_TRUE(same(contents("file"), std::string(page + 10, 'm') + std::string(2 * page - 10, '\0')));
}

}  // namespace
}  // namespace hearth::posix
