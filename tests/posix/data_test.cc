// Bytes: read and write in all their forms, truncate, holes, fallocate, copies.
#include "tests/posix/suite.h"

#include <linux/falloc.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

namespace hearth::posix {
namespace {

using Truncate = Posix;
using Write = Posix;
using Hole = Posix;
using Copy = Posix;
using Sync = Posix;
using Fallocate = Needs<Feature::fallocate>;
using PunchHole = Needs<Feature::punch_hole>;
using ZeroRange = Needs<Feature::zero_range>;
using Direct = Needs<Feature::direct>;

std::string zeros(std::size_t length) {
  return std::string(length, '\0');
}

TEST_F(Truncate, ShortensAndTheBytesAreGone) {
  make_file("file", pattern(10'000));
  ASSERT_EQ(errno_of(::truncate("file", 5'001)), 0);
  EXPECT_EQ(status("file").st_size, 5'001);
  EXPECT_TRUE(same(contents("file"), pattern(10'000).substr(0, 5'001)));
  ASSERT_EQ(errno_of(::truncate("file", 10'000)), 0);
  EXPECT_TRUE(same(contents("file"), pattern(10'000).substr(0, 5'001) + zeros(4'999))) << "zeros, not the old bytes";
}

TEST_F(Truncate, GrowsWithZeros) {
  make_file("file", "bytes");
  ASSERT_EQ(errno_of(::truncate("file", 100'000)), 0);
  EXPECT_EQ(status("file").st_size, 100'000);
  EXPECT_TRUE(same(contents("file"), "bytes" + zeros(99'995)));
}

TEST_F(Truncate, OfAHandleIsSeenByAll) {
  make_file("file", pattern(10'000));
  const UniqueFd fd = opened("file", O_RDWR), other = opened("file", O_RDONLY);
  ASSERT_EQ(contents(other.get()).size(), 10'000U);
  ASSERT_EQ(errno_of(::ftruncate(fd.get(), 100)), 0);
  EXPECT_EQ(status("file").st_size, 100);
  EXPECT_TRUE(same(contents(other.get()), pattern(10'000).substr(0, 100)));
  ASSERT_EQ(errno_of(::ftruncate(fd.get(), 200)), 0);
  EXPECT_TRUE(same(contents(other.get()), pattern(10'000).substr(0, 100) + zeros(100)));
}

TEST_F(Truncate, LeavesTheOffset) {
  make_file("file", "0123456789");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(::lseek(fd.get(), 8, SEEK_SET), 8);
  ASSERT_EQ(::ftruncate(fd.get(), 2), 0);
  ASSERT_EQ(::write(fd.get(), "X", 1), 1);
  EXPECT_TRUE(same(contents("file"), "01" + zeros(6) + "X"));
}

TEST_F(Truncate, ToTheSameSizeKeepsTheBytes) {
  make_file("file", pattern(4097));
  ASSERT_EQ(errno_of(::truncate("file", 4097)), 0);
  EXPECT_TRUE(same(contents("file"), pattern(4097)));
}

TEST_F(Truncate, AtEveryEdgeOfAPageIsExact) {
  for (const off_t size : {0, 1, 4095, 4096, 4097, 8191, 8192, 65'535, 65'536, 65'537}) {
    make_file("file", pattern(70'000));
    ASSERT_EQ(errno_of(::truncate("file", size)), 0);
    ASSERT_EQ(errno_of(::truncate("file", 70'000)), 0);
    EXPECT_TRUE(same(contents("file"), pattern(70'000).substr(0, static_cast<std::size_t>(size)) +
                                           zeros(70'000 - static_cast<std::size_t>(size))))
        << size;
    ASSERT_EQ(::unlink("file"), 0);
  }
}

TEST_F(Truncate, RefusesWhatItShould) {
  make_file("file", "bytes", 0644);
  make_directory("directory");
  EXPECT_EQ(errno_of(::truncate("file", -1)), EINVAL);
  EXPECT_EQ(errno_of(::truncate("directory", 0)), EISDIR);
  EXPECT_EQ(errno_of(::truncate("absent", 0)), ENOENT);
  EXPECT_EQ(errno_of(::truncate("file/below", 0)), ENOTDIR);
  as(alice, [] { EXPECT_EQ(errno_of(::truncate("file", 0)), EACCES); });
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Truncate, ToTheLargestSizeIsDoneOrRefused) {
  make_file("file", "bytes");
  const Errno outcome = errno_of(::truncate("file", INT64_MAX));
  EXPECT_TRUE(one_of(outcome, {0, EFBIG, EINVAL})) << outcome;
  EXPECT_EQ(status("file").st_size, outcome == 0 ? INT64_MAX : 5);
}

TEST_F(Truncate, RespectsTheFileSizeLimitOfTheProcess) {
  make_file("file", "bytes");
  EXPECT_EQ(in_child([] {
              const rlimit limit{1000, 1000};
              ::signal(SIGXFSZ, SIG_IGN);
              if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
              const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
              if (::ftruncate(fd.get(), 1001) != -1 || errno != EFBIG) return 2;
              if (::pwrite(fd.get(), "0123456789", 10, 995) != 5) return 3;
              if (::pwrite(fd.get(), "x", 1, 1000) != -1 || errno != EFBIG) return 4;
              return 0;
            }),
            0);
  EXPECT_EQ(status("file").st_size, 1000);
}

TEST_F(Write, AtAnyOffsetReplacesAndExtends) {
  std::string expected = pattern(50'000);
  make_file("file", expected);
  const UniqueFd fd = opened("file", O_RDWR);
  unsigned seed = 2;
  for (const std::size_t at : {0, 1, 4090, 4096, 12'345, 49'990, 65'530, 131'072}) {
    const std::string bytes = pattern(4'100, seed++);
    ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(at)), 4'100);
    if (expected.size() < at + 4'100) expected.resize(at + 4'100);
    expected.replace(at, 4'100, bytes);
    EXPECT_TRUE(same(contents("file"), expected)) << at;
    EXPECT_EQ(status("file").st_size, static_cast<off_t>(expected.size()));
  }
}

TEST_F(Write, OfManySmallPiecesAddsUp) {
  std::string expected;
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  for (unsigned i = 0; i < 2'000; ++i) {
    const std::string piece = pattern(1 + i % 97, i);
    ASSERT_EQ(::write(fd.get(), piece.data(), piece.size()), static_cast<ssize_t>(piece.size()));
    expected += piece;
  }
  EXPECT_TRUE(same(contents("file"), expected));
}

TEST_F(Write, OfALargePieceIsWhole) {
  const std::string bytes = pattern(9'000'001);
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 9'000'001);
  EXPECT_TRUE(same(contents("file"), bytes));
}

TEST_F(Write, MovesTheOffsetAndPwriteDoesNot) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  ASSERT_EQ(::write(fd.get(), "abc", 3), 3);
  ASSERT_EQ(::pwrite(fd.get(), "XYZ", 3, 10), 3);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 3);
  char bytes[3];
  ASSERT_EQ(::pread(fd.get(), bytes, 3, 10), 3);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_CUR), 3);
  EXPECT_EQ(errno_of(::pwrite(fd.get(), "x", 1, -1)), EINVAL);
  EXPECT_EQ(errno_of(::pread(fd.get(), bytes, 1, -1)), EINVAL);
}

TEST_F(Write, InVectors) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  std::string one = "one", two = pattern(10'000), three = "three";
  const iovec out[3] = {{one.data(), one.size()}, {two.data(), two.size()}, {three.data(), three.size()}};
  EXPECT_EQ(::writev(fd.get(), out, 3), 10'008);
  EXPECT_EQ(::pwritev(fd.get(), out, 1, 20'000), 3);
  std::string head(5'000, '\0'), tail(20'000, '\0');
  const iovec in[2] = {{head.data(), head.size()}, {tail.data(), tail.size()}};
  EXPECT_EQ(::preadv(fd.get(), in, 2, 0), 20'003);
  EXPECT_EQ(head + tail.substr(0, 15'003), one + two + three + zeros(20'000 - 10'008) + "one");
  ASSERT_EQ(::lseek(fd.get(), 3, SEEK_SET), 3);
  EXPECT_EQ(::readv(fd.get(), in, 1), 5'000);
  EXPECT_EQ(head, two.substr(0, 5'000));
}

TEST_F(Write, ReadsEndAtTheEnd) {
  make_file("file", pattern(10'000));
  const UniqueFd fd = opened("file", O_RDONLY);
  char bytes[4096];
  EXPECT_EQ(::pread(fd.get(), bytes, 4096, 9'000), 1'000);
  EXPECT_EQ(::pread(fd.get(), bytes, 4096, 10'000), 0);
  EXPECT_EQ(::pread(fd.get(), bytes, 4096, 1'000'000'000'000), 0);
  EXPECT_EQ(::pread(fd.get(), bytes, 0, 0), 0);
}

TEST_F(Write, OfABadAddressIsRefused) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDWR);
  void* nothing = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_EQ(errno_of(::pwrite(fd.get(), nothing, 10, 0)), EFAULT);
  EXPECT_EQ(errno_of(::pread(fd.get(), nothing, 5, 0)), EFAULT);
  ::munmap(nothing, 4096);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(Write, OfTwoProcessesAtOneTimeKeepsBoth) {
  make_file("file", zeros(400'000));
  const pid_t child = ::fork();
  const auto half = [](int which) {
    const UniqueFd fd(::open("file", O_RDWR | O_CLOEXEC));
    const std::string bytes(1'000, static_cast<char>('a' + which));
    for (int i = which; i < 400; i += 2) {
      if (::pwrite(fd.get(), bytes.data(), 1'000, i * 1'000) != 1'000) return 1;
    }
    return 0;
  };
  if (child == 0) ::_exit(half(1));
  EXPECT_EQ(half(0), 0);
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  const std::string all = contents("file");
  for (int i = 0; i < 400; ++i)
    ASSERT_EQ(all.substr(static_cast<std::size_t>(i) * 1'000, 1'000),
              std::string(1'000, static_cast<char>('a' + i % 2)))
        << i;
}

TEST_F(Write, StaysAfterAllHandlesClosed) {
  for (int round = 0; round < 20; ++round) {
    const std::string bytes = pattern(30'000, static_cast<unsigned>(round));
    {
      const UniqueFd fd = opened("file", O_CREAT | O_TRUNC | O_WRONLY);
      ASSERT_EQ(::write(fd.get(), bytes.data(), bytes.size()), 30'000);
    }
    EXPECT_EQ(status("file").st_size, 30'000);
    EXPECT_TRUE(same(contents("file"), bytes));
  }
}

TEST_F(Hole, ReadsAsZerosAndSpansNoData) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  ASSERT_EQ(::pwrite(fd.get(), "end", 3, 1'000'000), 3);
  EXPECT_EQ(status("file").st_size, 1'000'003);
  EXPECT_TRUE(same(contents("file"), zeros(1'000'000) + "end"));
}

TEST_F(Hole, AFarOffsetNeedsNoSpaceBeforeIt) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  constexpr off_t far = 1LL << 40;
  ASSERT_EQ(::pwrite(fd.get(), "x", 1, far), 1);
  EXPECT_EQ(status("file").st_size, far + 1);
  EXPECT_LT(status("file").st_blocks, 1'000'000);
  char byte = 0;
  ASSERT_EQ(::pread(fd.get(), &byte, 1, far), 1);
  EXPECT_EQ(byte, 'x');
  ASSERT_EQ(::pread(fd.get(), &byte, 1, far / 2), 1);
  EXPECT_EQ(byte, 0);
}

// A file system may say "all is data": SEEK_DATA finds the offset itself, SEEK_HOLE the end.
TEST_F(Hole, SeekFindsAllData) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR);
  constexpr off_t far = 4 << 20;
  ASSERT_EQ(::pwrite(fd.get(), "data", 4, 0), 4);
  ASSERT_EQ(::pwrite(fd.get(), "data", 4, far), 4);
  EXPECT_EQ(::lseek(fd.get(), 0, SEEK_DATA), 0);
  const off_t hole = ::lseek(fd.get(), 0, SEEK_HOLE);
  EXPECT_GE(hole, 4);
  EXPECT_LE(hole, far + 4);
  const off_t second = ::lseek(fd.get(), far / 2, SEEK_DATA);
  EXPECT_GE(second, far / 2);
  EXPECT_LE(second, far) << "data must never be taken for a hole";
  EXPECT_EQ(::lseek(fd.get(), far, SEEK_DATA), far);
  EXPECT_EQ(::lseek(fd.get(), far, SEEK_HOLE), far + 4) << "the end is a hole";
  EXPECT_EQ(errno_of(::lseek(fd.get(), far + 4, SEEK_DATA)), ENXIO);
  EXPECT_EQ(errno_of(::lseek(fd.get(), far + 4, SEEK_HOLE)), ENXIO);
}

TEST_F(Hole, SeekSeesDataThatIsNotSyncedYet) {
  const UniqueFd fd = opened("file", O_CREAT | O_RDWR), other = opened("file", O_RDONLY);
  ASSERT_EQ(::ftruncate(fd.get(), 8 << 20), 0);
  ASSERT_EQ(::pwrite(fd.get(), "data", 4, 4 << 20), 4);
  const off_t data = ::lseek(other.get(), 1 << 20, SEEK_DATA);
  EXPECT_GE(data, 1 << 20);
  EXPECT_LE(data, 4 << 20);
}

Errno allocate(const UniqueFd& fd, int mode, off_t at, off_t length) {
  return errno_of(::fallocate(fd.get(), mode, at, length));
}

TEST_F(Fallocate, GrowsTheFileWithZeros) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(allocate(fd, 0, 0, 100'000), 0);
  EXPECT_EQ(status("file").st_size, 100'000);
  EXPECT_TRUE(same(contents("file"), "bytes" + zeros(99'995)));
  ASSERT_EQ(allocate(fd, 0, 0, 10), 0);
  EXPECT_EQ(status("file").st_size, 100'000);
}

TEST_F(Fallocate, KeepSizeKeepsIt) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(allocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100'000), 0);
  EXPECT_EQ(status("file").st_size, 5);
  ASSERT_EQ(::ftruncate(fd.get(), 100'000), 0);
  EXPECT_TRUE(same(contents("file"), "bytes" + zeros(99'995)));
}

TEST_F(Fallocate, RefusesWhatItShould) {
  make_file("file", "bytes");
  const UniqueFd fd = opened("file", O_RDWR), reader = opened("file", O_RDONLY);
  EXPECT_EQ(allocate(fd, 0, -1, 10), EINVAL);
  EXPECT_EQ(allocate(fd, 0, 0, 0), EINVAL);
  EXPECT_EQ(allocate(reader, 0, 0, 10), EBADF);
  EXPECT_EQ(allocate(fd, 1 << 20, 0, 10), EOPNOTSUPP);
  EXPECT_TRUE(same(contents("file"), "bytes"));
}

TEST_F(PunchHole, ZeroesTheRangeAndKeepsTheSize) {
  for (const auto& [at, length] : std::vector<std::pair<std::size_t, std::size_t>>{
           {4096, 8192}, {1, 1}, {4000, 200}, {0, 20'000}, {19'000, 50'000}}) {
    std::string expected = pattern(20'000);
    make_file("file", expected);
    const UniqueFd fd = opened("file", O_RDWR);
    ASSERT_EQ(contents(fd.get()), expected);
    ASSERT_EQ(
        allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at), static_cast<off_t>(length)),
        0);
    const std::size_t end = std::min(expected.size(), at + length);
    expected.replace(at, end - at, zeros(end - at));
    EXPECT_TRUE(same(contents("file"), expected)) << at << "+" << length;
    ASSERT_EQ(::unlink("file"), 0);
  }
}

TEST_F(PunchHole, IsSeenByAMappingThatIsThere) {
  make_file("file", pattern(16'384));
  const UniqueFd fd = opened("file", O_RDWR);
  auto* map = static_cast<char*>(::mmap(nullptr, 16'384, PROT_READ, MAP_SHARED, fd.get(), 0));
  ASSERT_EQ(errno_of(map), 0);
  EXPECT_EQ(std::string(map, 16'384), pattern(16'384));
  ASSERT_EQ(allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
  EXPECT_EQ(std::string(map + 4096, 4096), zeros(4096));
  EXPECT_EQ(std::string(map, 4096), pattern(16'384).substr(0, 4096));
  ::munmap(map, 16'384);
}

TEST_F(PunchHole, NeedsKeepSize) {
  make_file("file", pattern(5'000));
  const UniqueFd fd = opened("file", O_RDWR);
  EXPECT_EQ(allocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 100), EOPNOTSUPP);
  EXPECT_TRUE(same(contents("file"), pattern(5'000)));
}

TEST_F(ZeroRange, ZeroesAndGrows) {
  make_file("file", pattern(10'000));
  const UniqueFd fd = opened("file", O_RDWR);
  ASSERT_EQ(allocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 9'000, 5'000), 0);
  EXPECT_TRUE(same(contents("file"), pattern(10'000).substr(0, 9'000) + zeros(1'000)));
  ASSERT_EQ(allocate(fd, FALLOC_FL_ZERO_RANGE, 100, 12'000), 0);
  EXPECT_TRUE(same(contents("file"), pattern(10'000).substr(0, 100) + zeros(12'000)));
}

class Aligned {
 public:
  explicit Aligned(std::size_t length) : bytes_(static_cast<char*>(std::aligned_alloc(4096, length))) {}
  ~Aligned() { std::free(bytes_); }
  Aligned(const Aligned&) = delete;
  char* data() { return bytes_; }

 private:
  char* bytes_;
};

TEST_F(Direct, ReadsWhatWasWrittenBuffered) {
  make_file("file", pattern(65'536));
  const UniqueFd fd = opened("file", O_RDONLY | O_DIRECT);
  Aligned bytes(65'536);
  ASSERT_EQ(::pread(fd.get(), bytes.data(), 65'536, 0), 65'536);
  EXPECT_EQ(std::string(bytes.data(), 65'536), pattern(65'536));
}

TEST_F(Direct, WritesAreSeenByBufferedReaders) {
  make_file("file", pattern(65'536));
  const UniqueFd fd = opened("file", O_RDWR | O_DIRECT), reader = opened("file", O_RDONLY);
  ASSERT_EQ(contents(reader.get()), pattern(65'536));
  Aligned bytes(8192);
  std::fill_n(bytes.data(), 8192, 'D');
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), 8192, 16'384), 8192);
  EXPECT_TRUE(same(contents(reader.get()), pattern(65'536).replace(16'384, 8192, std::string(8192, 'D'))));
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), 8192, 65'536), 8192) << "past the end";
  EXPECT_EQ(status("file").st_size, 73'728);
  EXPECT_TRUE(same(contents(reader.get()).substr(65'536), std::string(8192, 'D')));
}

TEST_F(Direct, ReadsBufferedWritesThatAreNotSyncedYet) {
  make_file("file", pattern(65'536));
  const UniqueFd fd = opened("file", O_RDWR), direct = opened("file", O_RDONLY | O_DIRECT);
  Aligned bytes(4096);
  for (int i = 0; i < 10; ++i) {
    const std::string piece = pattern(4096, static_cast<unsigned>(100 + i));
    ASSERT_EQ(::pwrite(fd.get(), piece.data(), 4096, i * 4096), 4096);
    ASSERT_EQ(::pread(direct.get(), bytes.data(), 4096, i * 4096), 4096);
    EXPECT_EQ(std::string(bytes.data(), 4096), piece);
  }
}

TEST_F(Direct, ReadsEndAtTheEnd) {
  make_file("file", pattern(5'000));
  const UniqueFd fd = opened("file", O_RDONLY | O_DIRECT);
  Aligned bytes(8192);
  EXPECT_EQ(::pread(fd.get(), bytes.data(), 8192, 0), 5'000);
  EXPECT_EQ(std::string(bytes.data(), 5'000), pattern(5'000));
  EXPECT_EQ(::pread(fd.get(), bytes.data(), 8192, 8192), 0);
}

ssize_t copy_range(int from, off_t at, int to, off_t where, std::size_t length) {
  return ::copy_file_range(from, &at, to, &where, length, 0);
}

TEST_F(Copy, FileRangeCopies) {
  make_file("from", pattern(100'000));
  make_file("to", "xy");
  const UniqueFd from = opened("from", O_RDONLY), to = opened("to", O_RDWR);
  std::size_t done = 0;
  while (done < 50'000) {
    const ssize_t n =
        copy_range(from.get(), static_cast<off_t>(1'000 + done), to.get(), static_cast<off_t>(1 + done), 50'000 - done);
    ASSERT_GT(n, 0) << Errno{errno};
    done += static_cast<std::size_t>(n);
  }
  EXPECT_TRUE(same(contents("to"), "x" + pattern(100'000).substr(1'000, 50'000)));
  EXPECT_TRUE(same(contents("from"), pattern(100'000)));
}

TEST_F(Copy, FileRangeTakesBytesThatAreNotSyncedYet) {
  make_file("from", pattern(8192));
  const UniqueFd from = opened("from", O_RDWR), to = opened("to", O_CREAT | O_RDWR);
  ASSERT_EQ(::pwrite(from.get(), "NEW", 3, 100), 3);
  ASSERT_EQ(copy_range(from.get(), 0, to.get(), 0, 8192), 8192);
  EXPECT_TRUE(same(contents("to"), pattern(8192).replace(100, 3, "NEW")));
}

TEST_F(Copy, FileRangeEndsAtTheEndAndRefuses) {
  make_file("from", pattern(1'000));
  make_file("to");
  const UniqueFd from = opened("from", O_RDWR), to = opened("to", O_RDWR), reader = opened("to", O_RDONLY),
                 appender = opened("to", O_WRONLY | O_APPEND);
  EXPECT_EQ(copy_range(from.get(), 900, to.get(), 0, 1'000), 100);
  EXPECT_EQ(copy_range(from.get(), 1'000, to.get(), 0, 10), 0);
  EXPECT_EQ(errno_of(copy_range(from.get(), 0, reader.get(), 0, 10)), EBADF);
  EXPECT_EQ(errno_of(copy_range(from.get(), 0, appender.get(), 0, 10)), EBADF);
  EXPECT_EQ(errno_of(copy_range(from.get(), 0, from.get(), 5, 10)), EINVAL) << "overlapping";
  EXPECT_EQ(copy_range(from.get(), 0, from.get(), 500, 100), 100);
  EXPECT_TRUE(same(contents("from").substr(500, 100), pattern(1'000).substr(0, 100)));
}

TEST_F(Copy, SendfileFromAndTo) {
  make_file("from", pattern(100'000));
  const UniqueFd from = opened("from", O_RDONLY), to = opened("to", O_CREAT | O_RDWR);
  off_t at = 0;
  while (at < 100'000) ASSERT_GT(::sendfile(to.get(), from.get(), &at, static_cast<std::size_t>(100'000 - at)), 0);
  EXPECT_TRUE(same(contents("to"), pattern(100'000)));
}

TEST_F(Sync, OfFilesAndDirectoriesWorks) {
  make_file("file", "bytes");
  make_directory("directory");
  const UniqueFd file = opened("file", O_RDWR), reader = opened("file", O_RDONLY),
                 directory = opened("directory", O_RDONLY);
  ASSERT_EQ(::pwrite(file.get(), "B", 1, 0), 1);
  EXPECT_EQ(errno_of(::fdatasync(file.get())), 0);
  EXPECT_EQ(errno_of(::fsync(file.get())), 0);
  EXPECT_EQ(errno_of(::fsync(reader.get())), 0);
  EXPECT_EQ(errno_of(::fsync(directory.get())), 0);
  EXPECT_EQ(errno_of(::fdatasync(directory.get())), 0);
  EXPECT_EQ(errno_of(::syncfs(file.get())), 0);
  EXPECT_EQ(errno_of(::sync_file_range(file.get(), 0, 5, SYNC_FILE_RANGE_WRITE)), 0);
}

TEST_F(Sync, OpenWithSyncFlagsWrites) {
  for (const int flag : {O_SYNC, O_DSYNC}) {
    const UniqueFd fd = opened("file", O_CREAT | O_RDWR | flag);
    ASSERT_EQ(::pwrite(fd.get(), "bytes", 5, 0), 5);
    EXPECT_TRUE(same(contents("file"), "bytes"));
  }
}

}  // namespace
}  // namespace hearth::posix
