#include "fuse/testing/mount_fixture.h"

#include "common/clock.h"
#include "common/fd.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace hearth::testing {

void MountFixture::SetUp() {
  const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  const std::string missing = ::geteuid() != 0 ? "not root" : !device ? "/dev/fuse can not be opened" : "";
  if (!missing.empty()) {
    const char* ci = std::getenv("HEARTH_CI");
    if (ci != nullptr && std::string(ci) == "1") FAIL() << "HEARTH_CI=1 needs a real mount: " << missing;
    GTEST_SKIP() << "a real mount is not possible here: " << missing;
  }
  std::string pattern = std::filesystem::temp_directory_path() / "hearth-mount-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
  point_ = pattern;
  fresh_ = std::make_unique<FakeSource>();
  source_ = fresh_.get();
}

void MountFixture::TearDown() {
  if (source_ != nullptr && (mount_ || fresh_)) source_->resume_reads();
  mount_.reset();
  if (point_.empty()) return;
  ::umount2(point_.c_str(), MNT_DETACH);  // what a failed test left
  std::filesystem::remove_all(point_);
}

MountOptions MountFixture::options() const {
  MountOptions options;
  options.mountpoint = point_;
  options.prefetch = MountOptions::Prefetch::off;
  options.busy_grace = Duration::zero();
  return options;
}

void MountFixture::mount(MountOptions with) {
  auto started = Mount::start(std::move(with), std::unique_ptr<Source>(std::move(fresh_)));
  ASSERT_TRUE(started) << started.error().message();
  mount_ = std::move(*started);
}

void MountFixture::unmount() {
  const auto left = mount_->unmount();
  EXPECT_TRUE(left) << left.error().message();
  mount_.reset();
}

std::string MountFixture::read_all(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return "errno " + std::to_string(errno);
  std::string text;
  std::string buffer(300'000, '\0');  // no multiple of a page
  while (true) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0) return "errno " + std::to_string(errno);
    if (count == 0) return text;
    text.append(buffer, 0, static_cast<std::size_t>(count));
  }
}

int MountFixture::open_errno(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? 0 : errno;
}

bool MountFixture::eventually(const std::function<bool()>& condition) const {
  const Deadline deadline = Deadline::after(real_clock(), std::chrono::seconds(10));
  while (!condition()) {
    if (deadline.expired(real_clock().now())) return false;
    struct statvfs info {};
    ::statvfs(point_.c_str(), &info);
  }
  return true;
}

std::size_t MountFixture::open_fds() {
  const std::filesystem::directory_iterator fds("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(fds), end(fds)));
}

}  // namespace hearth::testing
