#include "common/http/curl_engine.h"

#include "common/http/curl_error.h"
#include "common/http/metrics.h"
#include "common/http/transfer_options.h"
#include "common/io_thread.h"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>

#include <array>
#include <cassert>
#include <deque>
#include <future>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hearth {
namespace {

constexpr std::size_t max_kept_handles = 64;
constexpr int reads_in_a_row = 8;

Error stopping(const Transfer& transfer) {
  return Error(Code::cancelled, transfer.describe() + ": the HTTP client is closing");
}

// Looked up once: it costs a lock and several strings, and the event loop passes here for every reply.
struct Cells {
  Counter& received_bytes = metrics().counter(described::http_received_bytes_total);
  Counter& sent_bytes = metrics().counter(described::http_sent_bytes_total);
  Counter& good_requests = metrics().counter(described::http_requests_total, {"2xx"});
  Counter& opened = metrics().counter(described::http_connections_total, {"opened"});
  Counter& reused = metrics().counter(described::http_connections_total, {"reused"});
  HistogramMetric& first_byte = metrics().histogram(described::http_first_byte_seconds);
  Gauge& on_connection = metrics().gauge(described::http_in_flight, {"on_connection"});
  Gauge& waiting = metrics().gauge(described::http_in_flight, {"waiting"});
};

Cells& cells() {
  static Cells cells;
  return cells;
}

void note_outcome(CURL* easy, const Transfer& transfer, const std::optional<Error>& error) {
  if (!error && transfer.status() / 100 == 2) {
    cells().good_requests.add();
  } else {
    const std::string outcome = error ? std::string(name(error->code())) : std::to_string(transfer.status() / 100) + "xx";
    metrics().counter(described::http_requests_total, {outcome}).add();
  }
  cells().received_bytes.add(transfer.received_bytes());
  cells().sent_bytes.add(transfer.sent_bytes());
  if (transfer.first_byte() != Duration{}) cells().first_byte.observe(transfer.first_byte());
  long opened = 0;
  if (easy == nullptr || curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &opened) != CURLE_OK) return;
  if (opened > 0) cells().opened.add(static_cast<std::uint64_t>(opened));
  if (opened == 0 && !error) cells().reused.add();
}

void start_libcurl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct CurlEngine::Impl {
  // One socket of libcurl's that it wants to hear about. Shared: with the waits under way.
  struct Socket {
    Socket(const Executor& executor, curl_socket_t fd) : descriptor(executor, fd) {}
    asio::posix::stream_descriptor descriptor;
    int wanted = 0;
    bool reading = false;
    bool writing = false;
    bool gone = false;
  };
  using SocketHandle = std::shared_ptr<Socket>;

  struct Active {
    Active(std::shared_ptr<Transfer> transfer_in, const Executor& executor)
        : transfer(std::move(transfer_in)), alarm(executor) {}
    std::shared_ptr<Transfer> transfer;
    asio::steady_timer alarm;
    TimePoint armed = TimePoint::max();
    bool placed = false;  // counts in on_connection
    CURL* easy = nullptr;
    CurlLists lists;
    std::array<char, CURL_ERROR_SIZE> error{};
  };

  struct Host {
    std::deque<std::shared_ptr<Transfer>> waiting;  // may hold ended ones: skipped
    std::size_t on_connection = 0;
  };

  explicit Impl(HttpClientOptions options_in) : options(std::move(options_in)), timer(io.executor()) {}

  static int socket_changed(CURL*, curl_socket_t fd, int what, void* user, void*);
  static int timer_changed(CURLM*, long timeout_ms, void* user);

  void set_up();
  void tear_down();
  void watch(curl_socket_t fd, int what);
  void wait_for(const SocketHandle& socket, int direction);
  static bool has_more(Socket& socket);
  void act(curl_socket_t fd, int what);
  void collect();
  void add(std::shared_ptr<Transfer> transfer);
  void start_waiting(Host& host);
  void start_waiting_anywhere();
  bool start(const std::shared_ptr<Transfer>& transfer);
  void arm(Active& active);
  void rang(Transfer* transfer);
  void finish(Transfer* transfer, std::optional<Error> error);
  void end_all();
  void show_gauges();
  CURL* take_handle();
  void give_back(CURL* easy);

  // Set once
  const HttpClientOptions options;
  IoThread io{"hearth-http"};
  // Its thread only
  asio::steady_timer timer;
  bool due_at_once = false;  // a post that does the timer's work is on its way
  CURLM* multi = nullptr;
  CURLSH* share = nullptr;
  bool closed = false;
  std::unordered_map<curl_socket_t, SocketHandle> sockets;
  std::unordered_map<Transfer*, std::unique_ptr<Active>> transfers;
  std::map<std::string, Host> hosts;
  std::size_t on_connection = 0;
  std::vector<CURL*> kept_handles;
  // Any thread
  std::mutex stop_mutex;
  bool stopped = false;
};

void CurlEngine::Impl::set_up() {
  // CURLOPT_NOSIGNAL leaves SIGPIPE to us; OpenSSL writes without MSG_NOSIGNAL. Blocked here it harms nobody.
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
  start_libcurl_once();
  multi = curl_multi_init();
  share = curl_share_init();
  assert(multi != nullptr && share != nullptr);
  curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION);  // one thread: no lock functions
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::socket_changed);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::timer_changed);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, static_cast<long>(options.max_connections_per_host));
  curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, static_cast<long>(options.max_connections));
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, static_cast<long>(options.max_connections));
}

void CurlEngine::Impl::tear_down() {
  end_all();
  for (CURL* easy : kept_handles) curl_easy_cleanup(easy);
  kept_handles.clear();
  if (multi != nullptr) curl_multi_cleanup(std::exchange(multi, nullptr));
  if (share != nullptr) curl_share_cleanup(std::exchange(share, nullptr));
  for (auto& [fd, socket] : sockets) socket->descriptor.release();
  sockets.clear();
  timer.cancel();
}

int CurlEngine::Impl::socket_changed(CURL*, curl_socket_t fd, int what, void* user, void*) {
  static_cast<Impl*>(user)->watch(fd, what);
  return 0;
}

int CurlEngine::Impl::timer_changed(CURLM*, long timeout_ms, void* user) {
  Impl& impl = *static_cast<Impl*>(user);
  if (timeout_ms < 0) {
    impl.timer.cancel();
    return 0;
  }
  // libcurl must not be called from inside of its callback: also a timeout of 0 takes the way round the loop, but not
  // by way of the timer descriptor, which costs two system calls for each request.
  if (timeout_ms == 0) {
    impl.timer.cancel();
    if (!std::exchange(impl.due_at_once, true)) {
      asio::post(impl.io.executor(), [&impl] {
        impl.due_at_once = false;
        impl.act(CURL_SOCKET_TIMEOUT, 0);
      });
    }
    return 0;
  }
  impl.timer.expires_after(std::chrono::milliseconds(timeout_ms));
  impl.timer.async_wait([&impl](const boost::system::error_code& error) {
    if (!error) impl.act(CURL_SOCKET_TIMEOUT, 0);
  });
  return 0;
}

void CurlEngine::Impl::watch(curl_socket_t fd, int what) {
  auto found = sockets.find(fd);
  if (what == CURL_POLL_REMOVE) {
    if (found == sockets.end()) return;
    found->second->gone = true;
    found->second->descriptor.release();  // ends its waits; the descriptor is libcurl's
    sockets.erase(found);
    return;
  }
  if (found == sockets.end()) found = sockets.emplace(fd, std::make_shared<Socket>(io.executor(), fd)).first;
  const SocketHandle socket = found->second;
  socket->wanted = what;
  wait_for(socket, CURL_POLL_IN);
  wait_for(socket, CURL_POLL_OUT);
}

bool CurlEngine::Impl::has_more(Socket& socket) {
  if (socket.gone || (socket.wanted & CURL_POLL_IN) == 0) return false;
  pollfd one{.fd = socket.descriptor.native_handle(), .events = POLLIN, .revents = 0};
  return ::poll(&one, 1, 0) == 1 && one.revents == POLLIN;
}

void CurlEngine::Impl::wait_for(const SocketHandle& socket, int direction) {
  bool& waiting = direction == CURL_POLL_IN ? socket->reading : socket->writing;
  if (waiting || (socket->wanted & direction) == 0) return;
  waiting = true;
  auto ready = [this, socket, direction](const boost::system::error_code& error) {
    (direction == CURL_POLL_IN ? socket->reading : socket->writing) = false;
    if (socket->gone || error == asio::error::operation_aborted) return;
    if ((socket->wanted & direction) == 0) return;
    const int happened = error ? CURL_CSELECT_ERR : direction == CURL_POLL_IN ? CURL_CSELECT_IN : CURL_CSELECT_OUT;
    act(socket->descriptor.native_handle(), happened);
    // libcurl reads one buffer at a time. What has come meanwhile is taken here, without the way round the reactor; not
    // for ever, since other sockets wait too.
    for (int more = 0; more < reads_in_a_row && direction == CURL_POLL_IN && has_more(*socket); ++more) {
      act(socket->descriptor.native_handle(), CURL_CSELECT_IN);
    }
    if (!socket->gone) wait_for(socket, direction);
  };
  const auto kind = direction == CURL_POLL_IN ? asio::posix::descriptor_base::wait_read
                                              : asio::posix::descriptor_base::wait_write;
  socket->descriptor.async_wait(kind, std::move(ready));
}

void CurlEngine::Impl::act(curl_socket_t fd, int what) {
  if (multi == nullptr) return;
  int running = 0;
  curl_multi_socket_action(multi, fd, what, &running);
  collect();
}

void CurlEngine::Impl::collect() {
  int left = 0;
  bool ended = false;
  while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    int result = message->data.result;
    Transfer* transfer = nullptr;
    long verification = 0;
    curl_easy_getinfo(message->easy_handle, CURLINFO_SSL_VERIFYRESULT, &verification);
    if (result == CURLE_SSL_CONNECT_ERROR && verification != 0) result = CURLE_PEER_FAILED_VERIFICATION;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
    const auto found = transfers.find(transfer);
    assert(found != transfers.end());
    ended = true;
    finish(transfer, error_of_curl(result, *transfer, found->second->error.data()));
  }
  if (!ended) return;
  start_waiting_anywhere();
  show_gauges();
}

void CurlEngine::Impl::add(std::shared_ptr<Transfer> transfer) {
  if (multi == nullptr) set_up();
  Transfer* const key = transfer.get();
  if (closed) return transfer->end(stopping(*transfer));
  if (transfers.size() - on_connection >= max_waiting) {
    return transfer->end(Error(Code::overloaded, transfer->describe() + ": " + std::to_string(max_waiting) +
                                                     " requests wait for a connection already"));
  }
  auto active = std::make_unique<Active>(transfer, io.executor());
  arm(*active);
  transfers.emplace(key, std::move(active));
  Host& host = hosts[transfer->host_key()];
  host.waiting.push_back(std::move(transfer));
  start_waiting(host);
  show_gauges();
}

void CurlEngine::Impl::start_waiting(Host& host) {
  while (!host.waiting.empty()) {
    if (host.waiting.front()->phase() == Transfer::Phase::ended) {
      host.waiting.pop_front();
      continue;
    }
    if (host.on_connection >= options.max_connections_per_host || on_connection >= options.max_connections) return;
    const std::shared_ptr<Transfer> next = std::move(host.waiting.front());
    host.waiting.pop_front();
    transfers.at(next.get())->placed = true;
    ++host.on_connection;
    ++on_connection;
    if (!start(next)) finish(next.get(), Error(Code::internal, next->describe() + ": libcurl refused the transfer"));
  }
}

void CurlEngine::Impl::start_waiting_anywhere() {
  for (auto host = hosts.begin(); host != hosts.end();) {
    start_waiting(host->second);
    const bool idle = host->second.waiting.empty() && host->second.on_connection == 0;
    host = idle ? hosts.erase(host) : std::next(host);
  }
}

bool CurlEngine::Impl::start(const std::shared_ptr<Transfer>& transfer) {
  Active& active = *transfers.at(transfer.get());
  active.easy = take_handle();
  if (active.easy == nullptr) return false;
  curl_easy_setopt(active.easy, CURLOPT_SHARE, share);
  const Status set = set_curl_options(active.easy, *transfer, options, active.lists, active.error.data());
  if (!set) {
    finish(transfer.get(), set.error());
    return true;
  }
  transfer->started(options.max_header_bytes, [this, &active] { arm(active); });
  return curl_multi_add_handle(multi, active.easy) == CURLM_OK;
}

// The alarm is only ever moved forwards here; when it rings too early it is set again.
void CurlEngine::Impl::arm(Active& active) {
  const TimePoint due = active.transfer->due();
  if (due >= active.armed) return;
  active.armed = due;
  active.alarm.expires_at(due);
  active.alarm.async_wait([this, transfer = active.transfer](const boost::system::error_code& error) {
    if (!error && transfer->phase() != Transfer::Phase::ended) rang(transfer.get());
  });
}

void CurlEngine::Impl::rang(Transfer* transfer) {
  const auto found = transfers.find(transfer);
  if (found == transfers.end()) return;
  auto failure = transfer->expired(std::chrono::steady_clock::now());
  if (!failure) {
    found->second->armed = TimePoint::max();
    return arm(*found->second);
  }
  finish(transfer, std::move(failure));
  start_waiting_anywhere();
  show_gauges();
}

void CurlEngine::Impl::finish(Transfer* transfer, std::optional<Error> error) {
  const auto found = transfers.find(transfer);
  if (found == transfers.end()) return;
  const std::unique_ptr<Active> active = std::move(found->second);
  transfers.erase(found);
  active->alarm.cancel();
  if (active->easy != nullptr) {
    curl_multi_remove_handle(multi, active->easy);  // from here on no callback of it runs
    note_outcome(active->easy, *transfer, error);
    give_back(active->easy);
  } else {
    note_outcome(nullptr, *transfer, error);
  }
  if (active->placed) {
    --hosts[transfer->host_key()].on_connection;
    --on_connection;
  }
  transfer->end(std::move(error));
}

void CurlEngine::Impl::end_all() {
  closed = true;
  while (!transfers.empty()) {
    const std::shared_ptr<Transfer> transfer = transfers.begin()->second->transfer;
    finish(transfer.get(), stopping(*transfer));
  }
  hosts.clear();
}

void CurlEngine::Impl::show_gauges() {
  cells().on_connection.set(static_cast<std::int64_t>(on_connection));
  cells().waiting.set(static_cast<std::int64_t>(transfers.size() - on_connection));
}

CURL* CurlEngine::Impl::take_handle() {
  if (kept_handles.empty()) return curl_easy_init();
  CURL* easy = kept_handles.back();
  kept_handles.pop_back();
  return easy;
}

void CurlEngine::Impl::give_back(CURL* easy) {
  if (kept_handles.size() >= max_kept_handles) return curl_easy_cleanup(easy);
  curl_easy_reset(easy);
  kept_handles.push_back(easy);
}

CurlEngine::CurlEngine(HttpClientOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {
  impl_->io.start();
}

CurlEngine::~CurlEngine() { shutdown(); }

void CurlEngine::submit(std::shared_ptr<Transfer> transfer) {
  asio::post(impl_->io.executor(), [impl = impl_.get(), transfer = std::move(transfer)] { impl->add(transfer); });
}

void CurlEngine::cancel(std::shared_ptr<Transfer> transfer) {
  asio::post(impl_->io.executor(), [impl = impl_.get(), transfer = std::move(transfer)] {
    impl->finish(transfer.get(), Error(Code::cancelled, transfer->describe() + ": cancelled"));
    if (impl->multi != nullptr) impl->start_waiting_anywhere();
  });
}

void CurlEngine::close() {
  asio::post(impl_->io.executor(), [impl = impl_.get()] { impl->end_all(); });
}

void CurlEngine::shutdown() {
  assert(!impl_->io.is_this_thread() && "an HTTP client is not destroyed from its own callbacks");
  const std::lock_guard lock(impl_->stop_mutex);
  if (std::exchange(impl_->stopped, true)) return;
  std::promise<void> down;
  asio::post(impl_->io.executor(), [&] {
    impl_->tear_down();
    down.set_value();
  });
  down.get_future().wait();
  impl_->io.stop();
}

}  // namespace hearth
