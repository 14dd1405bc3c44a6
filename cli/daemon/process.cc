#include "cli/daemon/process.h"

#include "cli/daemon/version.h"

#include <google/protobuf/stubs/logging.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

namespace hearth::cli {
namespace {

// A process that hangs while it starts is given up after this long.
constexpr int start_patience_ms = 60'000;

Error from_errno(std::string_view doing) {
  const int number = errno;
  return Error(code_from_errno(number), std::string(doing) + ": " + std::strerror(number));
}

void say(int fd, const std::string& text) {
  const ssize_t written = ::write(fd, text.data(), text.size());
  (void)written;  // a parent that is gone no longer asks
}

// "ready", or "error 15 <message>": what the child wrote until it closed the pipe.
Status understand(const std::string& said, const std::string& log_file) {
  if (said.starts_with("ready")) return ok();
  unsigned code = 0;
  if (said.starts_with("error ")) {
    const auto parsed = std::from_chars(said.data() + 6, said.data() + said.size(), code);
    if (parsed.ec == std::errc() && parsed.ptr < said.data() + said.size()) {
      return Error(static_cast<Code>(code), std::string(parsed.ptr + 1, said.data() + said.size()));
    }
  }
  return Error(Code::internal, "the process ended while it started; its last words are in " + log_file);
}

Result<std::string> listen_to_child(int fd) {
  std::string said;
  char piece[4096];
  while (true) {
    pollfd watched{fd, POLLIN, 0};
    const int ready = ::poll(&watched, 1, start_patience_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready == 0) return Error(Code::deadline_exceeded, "the process did not become ready within 60 s");
    const ssize_t n = ::read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return said;
    said.append(piece, static_cast<std::size_t>(n));
  }
}

// The daemon's descriptors 0, 1 and 2: nothing, the log, the log.
Status redirect_standard(const std::string& log_file) {
  const UniqueFd nothing(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const UniqueFd log(log_file.empty() ? ::open("/dev/null", O_WRONLY | O_CLOEXEC)
                                      : ::open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600));
  if (!nothing || !log) return from_errno("the log file " + log_file + " cannot be opened");
  ::dup2(nothing.get(), STDIN_FILENO);
  ::dup2(log.get(), STDOUT_FILENO);
  ::dup2(log.get(), STDERR_FILENO);
  return ok();
}

[[noreturn]] void become_daemon(const std::string& log_file, UniqueFd parent, const std::function<int(Readiness&)>& serve) {
  ::setsid();
  if (::fork() > 0) ::_exit(0);  // not the leader of the session: no terminal can come back
  Readiness readiness(std::move(parent));
  auto redirected = redirect_standard(log_file);
  if (!redirected) {
    readiness.failed(redirected.error());
    ::_exit(1);
  }
  const int changed = ::chdir("/");  // keep no file system busy; "/" is always there
  (void)changed;
  std::exit(serve(readiness));
}

void forbid_core_dumps() {
  // The limit alone would not do: a program behind "|" in core_pattern is run whatever it says.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  ::setrlimit(RLIMIT_CORE, &limit);
}

}  // namespace

std::string_view build_version() { return HEARTH_VERSION; }

void prepare_process(CoreDumps core_dumps) {
  ::umask(077);
  if (core_dumps == CoreDumps::off) forbid_core_dumps();
  ::signal(SIGPIPE, SIG_IGN);
  google::protobuf::SetLogHandler(nullptr);  // a peer's malformed body is refused and logged by us, not on stderr as well
  // A cached block takes a descriptor. Root may go up to the kernel's own bound, others up to their hard limit.
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlimit most{.rlim_cur = max_open_files, .rlim_max = max_open_files};
  if (limit.rlim_max < max_open_files && ::setrlimit(RLIMIT_NOFILE, &most) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<SignalLoop> SignalLoop::create() {
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&wanted, number);
  const int blocked = ::pthread_sigmask(SIG_BLOCK, &wanted, nullptr);
  if (blocked != 0) return Error(Code::internal, std::string("signals cannot be blocked: ") + std::strerror(blocked));
  UniqueFd signals(::signalfd(-1, &wanted, SFD_CLOEXEC));
  UniqueFd requests(::eventfd(0, EFD_CLOEXEC));
  if (!signals || !requests) return from_errno("no descriptor for signals");
  return SignalLoop(std::move(signals), std::move(requests));
}

SignalLoop::Event SignalLoop::wait() {
  while (true) {
    pollfd watched[2] = {{signals_.get(), POLLIN, 0}, {requests_.get(), POLLIN, 0}};
    if (::poll(watched, 2, -1) < 0) continue;
    if ((watched[1].revents & POLLIN) != 0) return Event::stop;
    signalfd_siginfo received{};
    if (::read(signals_.get(), &received, sizeof received) != sizeof received) continue;
    return received.ssi_signo == SIGHUP ? Event::reload : Event::stop;
  }
}

void SignalLoop::request_stop() const {
  const std::uint64_t one = 1;
  const ssize_t written = ::write(requests_.get(), &one, sizeof one);
  (void)written;  // a full counter is a request as well
}

void Readiness::ready(std::string_view status) {
  const std::string state = "READY=1\nSTATUS=" + std::string(status);
  ::sd_notify(0, state.c_str());
  if (parent_) say(parent_.get(), "ready");
  parent_.reset();
}

void Readiness::stopping() { ::sd_notify(0, "STOPPING=1"); }

void Readiness::failed(const Error& error) {
  if (parent_) say(parent_.get(), "error " + std::to_string(static_cast<unsigned>(error.code())) + " " + error.message());
  // Left open: the parent reads to the end of the pipe, which is the end of this process.
}

Status run_in_background(const std::string& log_file, const std::function<int(Readiness&)>& serve) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return from_errno("no pipe to the background process");
  UniqueFd from_child(ends[0]);
  UniqueFd to_parent(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return from_errno("the background process cannot be started");
  if (child == 0) {
    from_child.reset();
    become_daemon(log_file, std::move(to_parent), serve);
  }
  to_parent.reset();
  TRY(said, listen_to_child(from_child.get()));
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return understand(said, log_file);
}

}  // namespace hearth::cli
