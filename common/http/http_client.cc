#include "common/http/http.h"

#include "common/http/curl_engine.h"
#include "common/http/transfer.h"

#include <boost/asio/this_coro.hpp>

#include <mutex>

namespace hearth {
namespace {

class CurlClient final : public HttpClient {
 public:
  CurlClient(HttpClientOptions options, Clock& clock) : options_(std::move(options)), clock_(clock) {}
  ~CurlClient() override { shut(); }

  Task<HttpReply> send(HttpRequest request, Deadline deadline) override;
  void close() override;

 private:
  std::shared_ptr<CurlEngine> engine();
  void shut();
  TimePoint real(Deadline deadline) const;

  // Set once
  const HttpClientOptions options_;
  Clock& clock_;
  // Guarded by mutex_
  std::mutex mutex_;
  bool closed_ = false;
  // Shared: a cancellation may come while the client goes. Made by the first request.
  std::shared_ptr<CurlEngine> engine_;
};

std::shared_ptr<CurlEngine> CurlClient::engine() {
  const std::lock_guard lock(mutex_);
  if (!engine_ && !closed_) engine_ = std::make_shared<CurlEngine>(options_);
  return closed_ ? nullptr : engine_;
}

void CurlClient::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (engine_) engine_->close();
}

void CurlClient::shut() {
  close();
  if (engine_) engine_->shutdown();
}

// Network time passes by the machine's clock, whatever clock the deadline was taken from.
TimePoint CurlClient::real(Deadline deadline) const {
  if (deadline.is_never()) return TimePoint::max();
  const Duration remaining = deadline.remaining(clock_.now());
  const TimePoint now = std::chrono::steady_clock::now();
  return remaining > TimePoint::max() - now ? TimePoint::max() : now + remaining;
}

Task<HttpReply> CurlClient::send(HttpRequest request, Deadline deadline) {
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  const Executor home = co_await asio::this_coro::executor;
  const auto transfer = std::make_shared<Transfer>(std::move(request), real(deadline), home);
  CO_CHECK_OK(transfer->check());
  if (cancellation.cancelled() != asio::cancellation_type::none) {
    co_return Error(Code::cancelled, transfer->describe() + ": cancelled");
  }
  if (deadline.expired(clock_.now())) {
    co_return Error(Code::deadline_exceeded, transfer->describe() + ": the deadline passed before it was sent");
  }
  const std::shared_ptr<CurlEngine> used = engine();
  if (!used) co_return Error(Code::cancelled, transfer->describe() + ": the HTTP client is closed");
  used->submit(transfer);
  std::function<void()> on_cancel = [used_weak = std::weak_ptr(used), transfer_weak = std::weak_ptr(transfer)] {
    const auto still_used = used_weak.lock();
    if (still_used) still_used->cancel(transfer_weak.lock());
  };
  co_await transfer->ended().wait(std::move(on_cancel));
  co_return transfer->take_outcome();  // nothing of this client is touched here: it may be gone
}

}  // namespace

std::unique_ptr<HttpClient> make_http_client(HttpClientOptions options, Clock& clock) {
  return std::make_unique<CurlClient>(std::move(options), clock);
}

}  // namespace hearth
