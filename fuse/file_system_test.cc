// The file system's logic without a kernel: streams of names, io modes, interrupted requests.
#include "fuse/directory_stream.h"
#include "fuse/io_modes.h"
#include "fuse/pending.h"
#include "fuse/testing/fake_source.h"

#include <gtest/gtest.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <random>
#include <set>

namespace hearth {
namespace {

using testing::FakeSource;

std::vector<std::string> names_from(DirectoryStream& stream, std::uint64_t position, std::size_t limit) {
  std::vector<std::string> names;
  const auto read = stream.read(position, [&](const DirectoryItem& item, std::uint64_t) {
    if (names.size() == limit) return DirectoryStream::Next::stop;
    names.push_back(item.name);
    return DirectoryStream::Next::go_on;
  });
  EXPECT_TRUE(read);
  return names;
}

std::string numbered(int i) {
  std::string digits = std::to_string(i);
  return "f" + std::string(6 - digits.size(), '0') + digits;
}

TEST(DirectoryStream, ReadsFromAnyPositionInAnyOrder) {
  FakeSource source;
  constexpr int count = 5500;
  for (int i = 0; i < count; ++i) source.put_file("/" + numbered(i), 0);
  DirectoryStream stream(source, "/");
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    const int at = static_cast<int>(random() % (count + 1));
    const auto names = names_from(stream, DirectoryStream::first_name + at, 3);
    ASSERT_EQ(names.size(), static_cast<std::size_t>(std::min(3, count - at))) << at;
    for (std::size_t i = 0; i < names.size(); ++i) ASSERT_EQ(names[i], numbered(at + static_cast<int>(i)));
  }
  EXPECT_TRUE(names_from(stream, 1'000'000, 3).empty());
}

TEST(DirectoryStream, FetchesEachPageOnceWhenReadInOrder) {
  FakeSource source;
  for (int i = 0; i < 2500; ++i) source.put_file("/" + numbered(i), 0);
  DirectoryStream stream(source, "/");
  std::size_t seen = 0;
  while (true) {
    const auto names = names_from(stream, DirectoryStream::first_name + seen, 100);
    seen += names.size();
    if (names.empty()) break;
  }
  EXPECT_EQ(seen, 2500U);
  EXPECT_EQ(source.lists(), 3U);
}

TEST(DirectoryStream, SeesTheDirectoryAnewAfterARewind) {
  FakeSource source;
  source.put_file("/a", 0);
  DirectoryStream stream(source, "/");
  EXPECT_EQ(names_from(stream, 0, 10).size(), 1U);
  source.put_file("/b", 0);
  EXPECT_EQ(names_from(stream, 0, 10).size(), 2U);
}

// A kernel that holds a node to one mode, as fs/fuse/iomode.c does.
class FakeKernel final : public BackingFiles {
 public:
  Result<std::int32_t> add(int) override {
    if (refusal) return *refusal;
    ids.insert(++last);
    return last;
  }
  Result<std::int32_t> add_written(int fd) override {
    ++written;
    return add(fd);
  }
  void remove(std::int32_t id) override { EXPECT_EQ(ids.erase(id), 1U); }
  int written = 0;
  std::set<std::int32_t> ids;
  std::int32_t last = 0;
  std::optional<Error> refusal;
};

class IoModesTest : public ::testing::Test {
 protected:
  static constexpr NodeId node = 5;
  MappedBlock block(const std::string& path) { return *(*source.open(path))->map(); }
  void SetUp() override {
    source.put_file("/f", 1000, FakeSource::Resident::yes);
    modes.enable(IoModes::Enabled::yes, "on");
  }
  FakeSource source;
  FakeKernel kernel;
  IoModes modes{kernel};
  using Mode = IoModes::Opened::Mode;
};

TEST_F(IoModesTest, LaterHandlesFollowTheFirstUntilAllAreReleased) {
  const auto mapped = block("/f");
  EXPECT_EQ(modes.open(node, nullptr, 1000).mode, Mode::cached);
  EXPECT_EQ(modes.open(node, &mapped, 1000).mode, Mode::cached) << "the node is in use through the page cache";
  modes.release(node);
  modes.release(node);
  const auto first = modes.open(node, &mapped, 1000);
  EXPECT_EQ(first.mode, Mode::passthrough);
  const auto second = modes.open(node, nullptr, 1000);
  EXPECT_EQ(second.mode, Mode::passthrough) << "evicted meanwhile, but the backing file is still there";
  EXPECT_EQ(second.backing_id, first.backing_id);
  modes.release(node);
  EXPECT_EQ(kernel.ids.size(), 1U);
  modes.release(node);
  EXPECT_TRUE(kernel.ids.empty());
  EXPECT_EQ(modes.open_nodes(), 0U);
}

TEST_F(IoModesTest, HoldsTheBlockUntilTheLastRelease) {
  {
    const auto mapped = block("/f");
    modes.open(node, &mapped, 1000);
  }
  EXPECT_EQ(source.live_mappings(), 1U);
  modes.release(node);
  EXPECT_EQ(source.live_mappings(), 0U);
}

TEST_F(IoModesTest, NeverPassesABackingFileOfAnotherLengthThrough) {
  source.set_block_slack(4096);
  source.put_file("/longer", 1000, FakeSource::Resident::yes);
  auto mapped = block("/longer");
  EXPECT_EQ(modes.open(node, &mapped, 1000).mode, Mode::cached);
  auto shifted = block("/f");
  shifted.fd_offset_bytes = 4096;
  EXPECT_EQ(modes.open(node + 1, &shifted, 1000).mode, Mode::cached);
}

TEST_F(IoModesTest, AFileThatIsOpenInPlaceIsPassedThroughWhateverItsLengthBecomes) {
  const UniqueFd file(::memfd_create("in-place", MFD_CLOEXEC));
  const auto first = modes.open_in_place(node, file.get());
  EXPECT_EQ(first.mode, Mode::passthrough);
  EXPECT_EQ(kernel.written, 1) << "registered without the right to leave set-user-id";
  ASSERT_EQ(::ftruncate(file.get(), 12345), 0);
  EXPECT_EQ(modes.open_in_place(node, file.get()).backing_id, first.backing_id) << "one backing file while it is open";
  EXPECT_EQ(modes.open(node, nullptr, 0).backing_id, first.backing_id) << "also for who opens the version";
  for (int i = 0; i < 3; ++i) modes.release(node);
  EXPECT_TRUE(kernel.ids.empty());
  EXPECT_EQ(modes.backing_count(), 0U);
}

TEST_F(IoModesTest, AFileThatWasOpenedAsAVersionStaysCachedWhenItIsOpenedInPlace) {
  const UniqueFd file(::memfd_create("in-place", MFD_CLOEXEC));
  modes.open(node, nullptr, 0);
  EXPECT_EQ(modes.open_in_place(node, file.get()).mode, Mode::cached);
  modes.release(node);
  modes.release(node);
  EXPECT_EQ(modes.open_in_place(node, file.get()).mode, Mode::passthrough);
  modes.release(node);
}

TEST_F(IoModesTest, SetUserIdProgramsAreWrittenThroughTheDaemonWhichKnowsTheWriter) {
  const UniqueFd file(::memfd_create("in-place", MFD_CLOEXEC));
  ASSERT_EQ(::fchmod(file.get(), 04755), 0);
  EXPECT_EQ(modes.open_in_place(node, file.get()).mode, Mode::cached);
  modes.release(node);
  EXPECT_TRUE(kernel.ids.empty());
}

TEST_F(IoModesTest, GoesOnCachedWhenTheKernelRefuses) {
  kernel.refusal = Error(Code::permission_denied, "needs CAP_SYS_ADMIN");
  const auto mapped = block("/f");
  EXPECT_EQ(modes.open(node, &mapped, 1000).mode, Mode::cached);
  EXPECT_EQ(modes.state(), "needs CAP_SYS_ADMIN");
}

TEST(InterruptedRequests, AnswersForAWorkerThatDoesNotEndWithinTheGrace) {
  std::promise<void> abandoned;
  InterruptedRequests interrupts(std::chrono::milliseconds(1));
  const auto request = std::make_shared<PendingRequest>([&] { abandoned.set_value(); });
  interrupts.add(request);
  abandoned.get_future().wait();
  EXPECT_FALSE(request->claim()) << "the worker must not answer a second time";
}

TEST(InterruptedRequests, LeavesARequestAloneThatWasAnswered) {
  InterruptedRequests interrupts(std::chrono::milliseconds(0));
  const auto request = std::make_shared<PendingRequest>([] { ADD_FAILURE() << "answered twice"; });
  ASSERT_TRUE(request->claim());
  interrupts.add(request);
  std::promise<void> later;  // the queue is in order: when this one is abandoned, the first was looked at
  interrupts.add(std::make_shared<PendingRequest>([&] { later.set_value(); }));
  later.get_future().wait();
}

}  // namespace
}  // namespace hearth
