#include "common/io_thread.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <pthread.h>

#include <condition_variable>
#include <mutex>

#include <thread>

namespace hearth {

struct IoThread::Impl {
  // Set once
  std::string name;
  asio::io_context context{1};
  // Owner only
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::thread thread;
  // Guarded by mutex
  std::mutex mutex;
  std::condition_variable changed;
  bool stopped = false;
};

IoThread::IoThread(std::string name) : impl_(std::make_unique<Impl>()) {
  impl_->name = std::move(name);
}
IoThread::~IoThread() {
  stop();
}

void IoThread::start() {
  assert(!impl_->thread.joinable() && "start() once");
  impl_->work.emplace(impl_->context.get_executor());
  impl_->thread = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), impl_->name.substr(0, 15).c_str());
    impl_->context.run();
  });
}

void IoThread::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->work.reset();
  impl_->context.stop();
  impl_->thread.join();
  const std::lock_guard lock(impl_->mutex);
  impl_->stopped = true;
  impl_->changed.notify_all();
}

Executor IoThread::executor() const {
  return impl_->context.get_executor();
}
bool IoThread::is_this_thread() const {
  return impl_->thread.get_id() == std::this_thread::get_id();
}

void IoThread::finish(const std::function<void()>& publish) {
  const std::lock_guard lock(impl_->mutex);
  publish();
  impl_->changed.notify_all();
}

void IoThread::wait(const std::function<bool()>& done) {
  std::unique_lock lock(impl_->mutex);
  impl_->changed.wait(lock, [&] { return done() || impl_->stopped; });
}

}  // namespace hearth
