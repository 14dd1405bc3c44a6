// What the files of the C ABI share: the handles, failures, and that nothing throws into C.
//
// Threads: any. The message of the last failure is of the calling thread.
#pragma once

#include <hearth/client.h>
#include <hearth/hearth.h>

#include <cstddef>
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
struct hearth_writer {
  hearth::WritableFile file;
};

namespace hearth::c_api {

// Keeps the message for hearth_error_message(), the errno for hearth_error_errno(), and answers the code, negated.
std::int64_t fail(Code code, std::string_view message) noexcept;
std::int64_t fail(const Error& error) noexcept;
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
// Of a struct that begins with its size, which was `first` when it was published and is `known` here: invalid_argument,
// unsupported (a field that this library does not have is set).
struct StructSizes {
  const char* name;
  std::size_t first;
  std::size_t known;
};
Status check_size(const void* given, std::size_t size, const StructSizes& sizes);

}  // namespace hearth::c_api
