#include "fuse/session.h"

#include "common/log.h"
#include "fuse/lock_operations.h"
#include "fuse/operations.h"
#include "fuse/request.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace hearth {
namespace {

// The part of the protocol that libfuse 3.14 does not know (linux/fuse.h as of 7.40, kernel 6.9). With libfuse 3.17
// the same is FUSE_CAP_PASSTHROUGH, fuse_passthrough_open() and fi->backing_id.
constexpr std::uint32_t opcode_init = 26;
constexpr std::uint32_t init_ext = 1U << 30;
constexpr std::uint32_t init_handle_killpriv = 1U << 19;  // known to libfuse 3.14, which forgets to answer it
constexpr std::uint32_t init_handle_killpriv_v2 = 1U << 28;  // the same, and no question for security.capability at each write
constexpr std::uint32_t init_passthrough = 1U << 5;  // of flags2: bit 37 of the 64-bit flags
struct RequestHeader { std::uint32_t length, opcode; std::uint64_t unique, node; std::uint32_t uid, gid, pid, more; };
struct InitRequest { std::uint32_t major, minor, max_readahead, flags, flags2; };
struct ReplyHeader { std::uint32_t length; std::int32_t error; std::uint64_t unique; };
struct InitReply {
  std::uint32_t major, minor, max_readahead, flags;
  std::uint16_t max_background, congestion_threshold;
  std::uint32_t max_write, time_granularity;
  std::uint16_t max_pages, map_alignment;
  std::uint32_t flags2, max_stack_depth;
};
struct BackingMap { std::int32_t fd; std::uint32_t flags; std::uint64_t padding; };
constexpr unsigned long backing_open = _IOW(229, 1, BackingMap);
constexpr unsigned long backing_close = _IOW(229, 2, std::uint32_t);

void log_of_libfuse(fuse_log_level level, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  text[std::strcspn(text, "\n")] = '\0';
  level <= FUSE_LOG_WARNING ? log_warn("libfuse", {{"message", text}}) : log_debug("libfuse", {{"message", text}});
}

}  // namespace

struct FuseSession::Impl : MountContext {
  explicit Impl(const MountOptions& given) : options(given), interrupted(given.interrupt_grace) {
    interrupts = &interrupted;
  }

  static ssize_t read(int fd, void* buffer, std::size_t size, void* data);
  static ssize_t write(int fd, iovec* parts, int count, void* data);
  void meet_init_reply(iovec* parts, int count);
  void initialised(int error_number);
  Status create();
  void loop();
  Result<std::string> probe_passthrough(FuseSession& self);

  const MountOptions& options;
  InterruptedRequests interrupted;
  fuse_session* session = nullptr;
  int device = -1;  // owned by `session`
  std::atomic<bool> takes_notices{false};
  // Of the INIT exchange, which comes before any other request
  std::atomic<std::uint64_t> init_unique{0};
  std::atomic<bool> init_seen{false}, init_answered{false}, kernel_offers_passthrough{false}, kernel_offers_killpriv_v2{false};

  std::mutex mutex;
  std::condition_variable changed;
  // Guarded by mutex
  bool ready = false;
  int init_error = 0;
  bool ended = true;  // no loop yet
  int loop_result = 0;
  std::thread thread;
};

// Not noexcept: libfuse ends its threads by cancelling them in here.
ssize_t FuseSession::Impl::read(int fd, void* buffer, std::size_t size, void* data) {
  const ssize_t count = ::read(fd, buffer, size);
  auto* self = static_cast<Impl*>(static_cast<MountContext*>(data));
  if (count < 0 || self->init_seen.load(std::memory_order_relaxed)) return count;
  RequestHeader header;
  InitRequest init{};
  if (static_cast<std::size_t>(count) < sizeof header + 16) return count;
  std::memcpy(&header, buffer, sizeof header);
  if (header.opcode != opcode_init) return count;
  std::memcpy(&init, static_cast<const char*>(buffer) + sizeof header,
              std::min(sizeof init, static_cast<std::size_t>(count) - sizeof header));
  self->init_unique = header.unique;
  self->kernel_offers_passthrough = (init.flags & init_ext) != 0 && (init.flags2 & init_passthrough) != 0;
  self->kernel_offers_killpriv_v2 = (init.flags & init_handle_killpriv_v2) != 0;
  self->init_seen = true;
  return count;
}

ssize_t FuseSession::Impl::write(int fd, iovec* parts, int count, void* data) {
  auto* self = static_cast<Impl*>(static_cast<MountContext*>(data));
  if (self->init_answered.load(std::memory_order_relaxed)) return ::writev(fd, parts, count);
  const auto* header = static_cast<const ReplyHeader*>(parts[0].iov_base);
  const bool is_init = header->unique == self->init_unique;
  if (is_init) self->meet_init_reply(parts, count);
  const ssize_t written = ::writev(fd, parts, count);
  if (is_init) self->initialised(written < 0 ? errno : -header->error);
  return written;
}

void FuseSession::Impl::meet_init_reply(iovec* parts, int count) {
  if (count != 2 || parts[1].iov_len < sizeof(InitReply)) return;
  auto* reply = static_cast<InitReply*>(parts[1].iov_base);
  // Otherwise the kernel takes set-user-id away by a chmod in the writer's name, who may not.
  if (options.writing == MountOptions::Writing::allow) {
    reply->flags |= kernel_offers_killpriv_v2 ? init_handle_killpriv_v2 : init_handle_killpriv;
  }
  if (options.passthrough == MountOptions::Passthrough::off || !kernel_offers_passthrough) return;
  reply->flags |= init_ext;
  reply->flags2 |= init_passthrough;
  reply->max_stack_depth = 1;  // backing files may lie on ordinary file systems, not on stacked ones
}

void FuseSession::Impl::initialised(int error_number) {
  init_answered = true;
  const std::lock_guard lock(mutex);
  ready = true;
  init_error = error_number;
  changed.notify_all();
}

Status FuseSession::Impl::create() {
  fuse_set_log_func(log_of_libfuse);
  // Given to mount(2) as well; libfuse insists on seeing it here.
  std::string max_read = "-omax_read=" + std::to_string(options.max_read_bytes);
  std::string program = "hearth-fuse";
  char* words[] = {program.data(), max_read.data(), nullptr};
  fuse_args arguments = FUSE_ARGS_INIT(2, words);
  fuse_lowlevel_ops table = mount_operations(options.writing);
  const bool shares_locks = options.writing == MountOptions::Writing::allow && options.locks == MountOptions::Locks::cluster;
  if (auto lock_session = shares_locks ? files->lock_session() : nullptr) {
    auto drop_pages = [this](NodeId node) { fuse_lowlevel_notify_inval_inode(session, node, 0, 0); };
    locks = std::make_unique<ClusterLocks>(*files, std::move(lock_session), drop_pages);
    add_lock_operations(table);
  }
  session = fuse_session_new(&arguments, &table, sizeof table, static_cast<MountContext*>(this));
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return Error(Code::internal, "libfuse refused to make a session; its message is above");
  return ok();
}

void FuseSession::Impl::loop() {
  fuse_loop_config* config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, static_cast<unsigned>(options.threads));
  fuse_loop_cfg_set_idle_threads(config, static_cast<unsigned>(options.threads));
  const int result = fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  const std::lock_guard lock(mutex);
  ended = true;
  loop_result = result;
  changed.notify_all();
}

FuseSession::FuseSession(const MountOptions& options) : impl_(std::make_unique<Impl>(options)) {}

FuseSession::~FuseSession() {
  if (impl_->thread.joinable()) {
    stop();
    impl_->thread.join();
  }
  impl_->locks.reset();  // answers what still waits
  if (impl_->session != nullptr) fuse_session_destroy(impl_->session);  // closes the device
}

// "on", or why not: asked of the kernel itself with a small file, since rights and support show only there.
Result<std::string> FuseSession::Impl::probe_passthrough(FuseSession& self) {
  if (options.passthrough == MountOptions::Passthrough::off) return std::string("switched off by the mount's options");
  if (!kernel_offers_passthrough) return std::string("the kernel does not offer it (Linux 6.9 or newer with CONFIG_FUSE_PASSTHROUGH does)");
  const UniqueFd file(::memfd_create("hearth-fuse-probe", MFD_CLOEXEC));
  if (!file) return Error(code_from_errno(errno), "memfd_create: " + std::string(std::strerror(errno)));
  const auto id = self.add(file.get());
  if (!id) return id.error().message();
  self.remove(*id);
  return std::string("on");
}

Status FuseSession::serve(FileSystem& files, UniqueFd device) {
  Impl& impl = *impl_;
  impl.files = &files;
  CHECK_OK(impl.create());
  const fuse_custom_io io{.writev = Impl::write, .read = Impl::read, .splice_receive = nullptr, .splice_send = nullptr};
  if (fuse_session_custom_io(impl.session, &io, device.get()) != 0) {
    return Error(Code::internal, "libfuse refused the device; its message is above");
  }
  impl.device = device.release();
  impl.takes_notices = true;
  impl.ended = false;
  // Signals are for the program's own threads.
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGURG);  // for stop()
  pthread_sigmask(SIG_SETMASK, &all, &before);
  impl.thread = std::thread([&impl] { impl.loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  {
    std::unique_lock lock(impl.mutex);
    constexpr auto patience = std::chrono::seconds(10);  // the kernel asks at once; it is microseconds
    impl.changed.wait_for(lock, patience, [&impl] { return impl.ready || impl.ended; });
    if (!impl.ready || impl.init_error != 0) {
      return Error(Code::version_mismatch, "the kernel and libfuse did not agree on a protocol (" +
                                               std::string(std::strerror(impl.init_error)) + "); see the log above");
    }
  }
  TRY(passthrough, impl.probe_passthrough(*this));
  const bool works = passthrough == "on";
  if (!works && impl.options.passthrough == MountOptions::Passthrough::require) {
    return Error(Code::unsupported, "passthrough=require, but " + passthrough + "; mount with passthrough=attempt to go on without");
  }
  files.modes().enable(works ? IoModes::Enabled::yes : IoModes::Enabled::no, passthrough);
  log_info("fuse_passthrough", {{"state", passthrough}});
  return ok();
}

bool FuseSession::wait_until(Deadline deadline) {
  std::unique_lock lock(impl_->mutex);
  const auto ended = [this] { return impl_->ended; };
  if (deadline.is_never()) {
    impl_->changed.wait(lock, ended);
    return true;
  }
  return impl_->changed.wait_until(lock, deadline.when(), ended);
}

void FuseSession::stop() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->ended) return;
  }
  fuse_session_exit(impl_->session);
  // libfuse looks at that flag when its loop's semaphore is interrupted. SIGURG does nothing by default, so a
  // handler that does nothing changes it for nobody. A signal can come just before the wait: repeat.
  struct sigaction nothing {}, before {};
  nothing.sa_handler = [](int) {};
  ::sigaction(SIGURG, &nothing, &before);
  constexpr auto again = std::chrono::milliseconds(5);
  do {
    ::pthread_kill(impl_->thread.native_handle(), SIGURG);
  } while (!wait_until(Deadline::after(real_clock(), again)));
  ::sigaction(SIGURG, &before, nullptr);
}

Status FuseSession::result() const {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->loop_result >= 0) return ok();
  return Error(Code::io_error, "the loop of the mount ended: " + std::string(std::strerror(-impl_->loop_result)));
}

Result<std::int32_t> FuseSession::add(int fd) {
  BackingMap map{.fd = fd, .flags = 0, .padding = 0};
  const int id = ::ioctl(impl_->device, backing_open, &map);
  if (id > 0) return id;
  const int error_number = errno;
  const std::string reason = std::strerror(error_number);
  if (error_number == EPERM) {
    return Error(Code::permission_denied, "registering a file with the kernel needs CAP_SYS_ADMIN (" + reason + ")");
  }
  if (error_number == ENOTTY || error_number == EOPNOTSUPP || error_number == ENOSYS) {
    return Error(Code::unsupported, "the kernel can not pass reads through (" + reason + ")");
  }
  return Error(Code::io_error, "the kernel refused a backing file: " + reason);
}

// The kernel writes to a backing file with the rights of the thread that registered it.
Result<std::int32_t> FuseSession::add_written(int fd) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct all[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, all) != 0) return Error(Code::io_error, "capget: " + std::string(std::strerror(errno)));
  __user_cap_data_struct fewer[_LINUX_CAPABILITY_U32S_3] = {all[0], all[1]};
  fewer[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
  if (::syscall(SYS_capset, &header, fewer) != 0) return Error(Code::io_error, "capset: " + std::string(std::strerror(errno)));
  auto id = add(fd);
  if (::syscall(SYS_capset, &header, all) == 0) return id;  // this thread's own; others have theirs all the time
  return Error(Code::io_error, "capset: " + std::string(std::strerror(errno)));
}

void FuseSession::remove(std::int32_t id) {
  const auto number = static_cast<std::uint32_t>(id);
  ::ioctl(impl_->device, backing_close, &number);
}

// The kernel answers ENOENT for what it does not keep.
void FuseSession::drop(NodeId node, Drop what) {
  if (!impl_->takes_notices) return;  // nothing is kept yet
  constexpr off_t attributes_alone = -1;
  fuse_lowlevel_notify_inval_inode(impl_->session, node, what == Drop::attributes ? attributes_alone : 0, 0);
}

// Expired, not taken away: whoever stands in it or has it open keeps its name (kernel 6.2 and newer).
void FuseSession::expire(NodeId parent, const std::string& name) {
  if (!impl_->takes_notices) return;
  fuse_session* session = impl_->session;
  const int expired = fuse_lowlevel_notify_expire_entry(session, parent, name.c_str(), name.size(), FUSE_LL_EXPIRE_ONLY);
  if (expired == -ENOSYS) fuse_lowlevel_notify_inval_entry(session, parent, name.c_str(), name.size());
}

}  // namespace hearth
