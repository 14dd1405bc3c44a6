// Result<T>: a value, or an Error that says what happened and what to do.
//
// A subset of std::expected (which GCC 12 has only in C++23 mode). The default state is an
// error, because Asio default-constructs the result type of a spawned coroutine.
#pragma once

#include <hearth/code.h>

#include <cassert>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace hearth {

// An expected failure. `message` names the object, what happened and what to do about it.
class Error {
 public:
  Error() = default;
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  // The same failure seen from one layer up: "while reading /a: <message>".
  Error with_context(std::string_view context) && {
    message_.insert(0, std::string(context) + ": ");
    return std::move(*this);
  }
  // Who refused said when to come back (Retry-After); 0 when it did not.
  Error with_retry_after_ms(std::uint32_t retry_after_ms) && {
    retry_after_ms_ = retry_after_ms;
    return std::move(*this);
  }
  std::uint32_t retry_after_ms() const { return retry_after_ms_; }
  // The errno of the system call that failed, where it says more than its code: EPERM and EACCES are one code.
  Error with_error_number(int error_number) && {
    error_number_ = error_number;
    return std::move(*this);
  }
  int error_number() const { return error_number_ != 0 ? error_number_ : info(code_).error_number; }
  // The other process said so itself: it is there, and answers.
  Error as_answer() && {
    is_answer_ = true;
    return std::move(*this);
  }
  bool is_answer() const { return is_answer_; }
  // "not_found: /a/b does not exist in attachment 3", for logs and the command line.
  std::string to_string() const { return std::string(name(code_)) + ": " + message_; }

 private:
  Code code_ = Code::internal;
  bool is_answer_ = false;
  std::uint32_t retry_after_ms_ = 0;
  int error_number_ = 0;
  std::string message_ = "result was never set";
};

template <class T = void>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result() : state_(std::in_place_index<1>) {}
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & { assert(has_value()); return *std::get_if<0>(&state_); }
  const T& value() const& { assert(has_value()); return *std::get_if<0>(&state_); }
  T&& value() && { assert(has_value()); return std::move(*std::get_if<0>(&state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T value_or(T fallback) && { return has_value() ? std::move(*this).value() : std::move(fallback); }

  const Error& error() const& { assert(!has_value()); return *std::get_if<1>(&state_); }
  Error&& error() && { assert(!has_value()); return std::move(*std::get_if<1>(&state_)); }
  Code code() const { return has_value() ? Code::ok : error().code(); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;

  Result() : error_(std::in_place) {}
  Result(Error error) : error_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  static Result success() { return Result(std::nullopt); }  // allocates nothing: success is on every hot path

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  void value() const { assert(has_value()); }

  const Error& error() const& { assert(!has_value()); return *error_; }
  Error&& error() && { assert(!has_value()); return std::move(*error_); }
  Code code() const { return has_value() ? Code::ok : error_->code(); }

 private:
  explicit Result(std::nullopt_t) {}

  std::optional<Error> error_;
};

using Status = Result<void>;
inline Status ok() { return Status::success(); }

}  // namespace hearth

// TRY(name, expression): bind the value of a Result to `name`, or return its error.
// CHECK_OK(expression): return the error of a Result whose value does not matter.
// CO_TRY, CO_CHECK_OK: the same inside a coroutine (common/async.h says why names come first).
#define TRY(name, ...)                                            \
  auto name##_result = (__VA_ARGS__);                             \
  if (!name##_result) return std::move(name##_result).error();    \
  auto name = std::move(name##_result).value()
#define CHECK_OK(...)                                             \
  do {                                                            \
    auto check_ok_result = (__VA_ARGS__);                         \
    if (!check_ok_result) return std::move(check_ok_result).error(); \
  } while (false)
#define CO_TRY(name, ...)                                         \
  auto name##_result = (__VA_ARGS__);                             \
  if (!name##_result) co_return std::move(name##_result).error(); \
  auto name = std::move(name##_result).value()
#define CO_CHECK_OK(...)                                          \
  do {                                                            \
    auto check_ok_result = (__VA_ARGS__);                         \
    if (!check_ok_result) co_return std::move(check_ok_result).error(); \
  } while (false)
