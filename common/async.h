// Coroutines of Hearth: one type, and the rules that keep them right.
//
// g++ 12 miscompiles two everyday shapes (tools/tidy.py refuses both): a co_await inside an
// if/while/switch condition, and an aggregate temporary, braced argument or capturing lambda
// made in the same full expression as a co_await. So: name it on the line before, then await.
// A coroutine takes its parameters by value or shared handle; nothing throws out of one.
#pragma once

#include <hearth/result.h>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace hearth {

namespace asio = boost::asio;
using Executor = asio::any_io_executor;

// A lazily started computation that ends in a Result. Await it exactly once.
template <class T = void>
using Task = asio::awaitable<Result<T>>;

}  // namespace hearth
