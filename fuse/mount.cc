#include "fuse/mount.h"

#include "common/log.h"
#include "fuse/change_notices.h"
#include "fuse/file_system.h"
#include "fuse/mount_point.h"
#include "fuse/session.h"
#include "fuse/source.h"

#include <mutex>
#include <optional>
#include <utility>

namespace hearth {

struct Mount::Impl {
  Impl(MountOptions given, std::unique_ptr<Source> from) : options(std::move(given)), source(std::move(from)) {}

  Status start();
  Status unmount();
  void cut_off_when_idle();
  void hear_of_changes();
  void end_notices();

  MountOptions options;
  std::unique_ptr<Source> source;
  // In the order of use: the session's threads use the file system until the session is gone.
  std::unique_ptr<FileSystem> files;
  std::unique_ptr<FuseSession> session;
  std::unique_ptr<ChangeNotices> notices;

  std::mutex mutex;
  // Guarded by mutex
  bool mounted = false;
  std::string device_name;  // of the mount, to unmount only what is ours
};

Status Mount::Impl::start() {
  TRY(mountpoint, prepare_mount_point(options));
  options.mountpoint = std::move(mountpoint);
  TRY(stores, source->store_uris());
  CHECK_OK(check_not_over_a_store(options.mountpoint, stores));
  auto root = source->stat(options.subtree);
  if (!root) return std::move(root).error().with_context("the subtree " + options.subtree + " can not be mounted");
  if (root->type != EntryType::directory) {
    return Error(Code::not_directory, options.subtree + " is not a directory of the namespace and can not be mounted");
  }
  session = std::make_unique<FuseSession>(options);
  files = std::make_unique<FileSystem>(options, *source, *session, std::move(*root));
  TRY(device, mount_fuse(options.mountpoint, options));
  mounted = true;
  device_name = mounted_device(options.mountpoint);
  hear_of_changes();
  CHECK_OK(session->serve(*files, std::move(device)));
  raise_readahead(options.mountpoint, options.readahead_bytes);
  log_info("fuse_mounted", {{"mountpoint", options.mountpoint},
                            {"subtree", options.subtree},
                            {"passthrough", files->modes().state()}});
  return ok();
}

// Before the kernel asks the first time: then it keeps nothing that a notice did not reach.
void Mount::Impl::hear_of_changes() {
  notices = std::make_unique<ChangeNotices>(*files, *session, *source);
  source->on_changes([this](const ChangeNotice& notice, std::function<void()> acted) { notices->tell(notice, std::move(acted)); });
}

// While requests are still answered: the kernel may hold the lock that a notice waits for until one is.
void Mount::Impl::end_notices() {
  if (!notices) return;
  source->on_changes(nullptr);
  notices->stop();
}

// Serves what is still open, for at most the grace.
void Mount::Impl::cut_off_when_idle() {
  const Deadline deadline = Deadline::after(real_clock(), options.busy_grace);
  constexpr auto step = std::chrono::milliseconds(20);
  while (files->counters().open_files + files->counters().open_directories > 0) {
    const Deadline soon = Deadline::after(real_clock(), step).sooner_of(deadline);
    if (session->wait_until(soon) || deadline.expired(real_clock().now())) break;
  }
}

Status Mount::Impl::unmount() {
  const std::lock_guard lock(mutex);
  if (!mounted) return ok();
  // Somebody else may have unmounted it, and mounted another file system there.
  Duration kernel_patience = std::chrono::seconds(1);
  const bool ours = mounted_device(options.mountpoint) == device_name;
  auto left = ours ? unmount_fuse(options.mountpoint, UnmountMode::only_if_idle) : ok();
  if (!left && left.code() == Code::busy) {
    log_warn("fuse_unmount_busy", {{"mountpoint", options.mountpoint},
                                   {"open_files", files->counters().open_files.load()},
                                   {"action", "left the tree; its users are cut off when they close or after busy_grace"}});
    left = unmount_fuse(options.mountpoint, UnmountMode::detach);
    if (left) cut_off_when_idle();
    kernel_patience = Duration::zero();
  }
  if (!left && left.code() != Code::not_found) return left;
  mounted = false;
  end_notices();
  // Another mount namespace may keep the file system alive: then the loop is told.
  if (!session->wait_until(Deadline::after(real_clock(), kernel_patience))) session->stop();
  log_info("fuse_unmounted", {{"mountpoint", options.mountpoint}});
  return ok();
}

Mount::Mount(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Mount::~Mount() {
  const auto left = unmount();
  if (!left) log_warn("fuse_unmount_failed", {{"mountpoint", impl_->options.mountpoint}, {"error", left.error().message()}});
  impl_->end_notices();
  impl_->notices.reset();
  impl_->session.reset();  // before what its threads use
}

Result<std::unique_ptr<Mount>> Mount::start(MountOptions options, std::unique_ptr<Source> source) {
  std::unique_ptr<Mount> mount(new Mount(std::make_unique<Impl>(std::move(options), std::move(source))));
  CHECK_OK(mount->impl_->start());
  return mount;
}

Status Mount::wait() {
  impl_->session->wait_until(Deadline::never());
  return impl_->session->result();
}

Status Mount::unmount() { return impl_->unmount(); }

MountStats Mount::stats() const {
  MountStats stats;
  impl_->files->counters().fill(stats);
  stats.prefetches = impl_->files->prefetcher().started();
  stats.nodes = impl_->files->nodes().size();
  stats.backing_files = impl_->files->modes().backing_count();
  stats.passthrough = impl_->files->modes().state();
  return stats;
}

}  // namespace hearth
