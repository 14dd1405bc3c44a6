// What the files of the C ABI share: the handles, failures, and that nothing throws into C.
//
// Threads: any. The message of the last failure is of the calling thread.
#pragma once

#include <hearth/client.h>
#include <hearth/hearth.h>

#include <cstdint>
#include <exception>
#include <string_view>

struct hearth_client {
  hearth::Client client;
};
struct hearth_file {
  hearth::File file;
};
struct hearth_listing {
  hearth::DirectoryPage page;
};

namespace hearth::c_api {

// Keeps the message for hearth_error_message() and answers the code, negated.
std::int64_t fail(Code code, std::string_view message) noexcept;
inline std::int64_t fail(const Error& error) noexcept { return fail(error.code(), error.message()); }
// "`what` is NULL"
std::int64_t missing(const char* what) noexcept;

// Nothing that `body` throws goes on into C: out of memory is a code, too.
template <class Body>
std::int64_t guarded(Body body) noexcept {
  try {
    return body();
  } catch (const std::exception& thrown) {
    return fail(Code::internal, thrown.what());
  } catch (...) {
    return fail(Code::internal, "an exception of an unknown kind");
  }
}

void put(const FileStatus& from, hearth_status& out);

}  // namespace hearth::c_api
