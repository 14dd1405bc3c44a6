// How a disk engine ends a call: the awaiting coroutine as a value that is kept without an allocation and resumed once.
//
//   Task<> read(...) { return await_completion<>([this, ...](Completion<> done) { start(std::move(done), ...); }); }
//
// Threads: confined to the executor of the coroutine; call it from a handler of that executor, never from inside of
//          the start function itself (Asio resumes nothing that is not yet suspended).
// Owns:    the suspended coroutine. Cancellation does not reach it: whoever holds the completion decides when the
//          memory of the call is free. Destroyed without a call, it destroys the coroutine.
#pragma once

#include "common/async.h"

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <cassert>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace hearth::disk {

template <class T = void>
class Completion {
 public:
  Completion() = default;
  template <class Handler, class = std::enable_if_t<!std::is_same_v<std::decay_t<Handler>, Completion>>>
  explicit Completion(Handler handler) : actions_(&actions_of<Handler>) {
    static_assert(sizeof(Handler) <= sizeof(storage_) && std::is_nothrow_move_constructible_v<Handler>);
    std::construct_at(as<Handler>(storage_.data()), std::move(handler));
  }
  Completion(Completion&& other) noexcept { take(other); }
  Completion& operator=(Completion&& other) noexcept {
    if (this == &other) return *this;
    drop();
    take(other);
    return *this;
  }
  ~Completion() { drop(); }

  explicit operator bool() const { return actions_ != nullptr; }
  void operator()(Result<T> result) {
    assert(actions_ != nullptr && "a call ends once");
    std::exchange(actions_, nullptr)->call(storage_.data(), std::move(result));
  }

 private:
  struct Actions {
    void (*move)(std::byte* to, std::byte* from) noexcept;  // and destroys `from`
    void (*call)(std::byte* handler, Result<T> result);     // and destroys it
    void (*destroy)(std::byte* handler) noexcept;
  };
  template <class Handler>
  static Handler* as(std::byte* storage) { return reinterpret_cast<Handler*>(storage); }
  template <class Handler>
  static constexpr Actions actions_of{
      .move = [](std::byte* to, std::byte* from) noexcept {
        std::construct_at(as<Handler>(to), std::move(*as<Handler>(from)));
        std::destroy_at(as<Handler>(from));
      },
      .call = [](std::byte* storage, Result<T> result) {
        Handler handler(std::move(*as<Handler>(storage)));
        std::destroy_at(as<Handler>(storage));
        std::move(handler)(std::move(result));
      },
      .destroy = [](std::byte* storage) noexcept { std::destroy_at(as<Handler>(storage)); },
  };
  void take(Completion& other) noexcept {
    actions_ = std::exchange(other.actions_, nullptr);
    if (actions_ != nullptr) actions_->move(storage_.data(), other.storage_.data());
  }
  void drop() noexcept {
    if (actions_ != nullptr) std::exchange(actions_, nullptr)->destroy(storage_.data());
  }

  alignas(std::max_align_t) std::array<std::byte, 32> storage_;
  const Actions* actions_ = nullptr;
};

// A task that hands itself to `start` when it is first awaited, and ends when that completes it.
template <class T = void, class Start>
Task<T> await_completion(Start start) {
  auto initiate = [](auto handler, Start begin) { begin(Completion<T>(std::move(handler))); };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result<T>)>(std::move(initiate), asio::use_awaitable,
                                                                              std::move(start));
}

}  // namespace hearth::disk
