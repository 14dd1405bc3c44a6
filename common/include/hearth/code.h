// The one table of outcome codes: wire number, name, errno, exit code, retry class.
//
// Append only. The number is on the wire and in docs/reference/errors.md; the errno is what
// the mount answers; the exit code is what the command line ends with (docs/reference/cli.md).
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

namespace hearth {

enum class Code : std::uint16_t {
  ok = 0,
  internal = 1,           // a defect of Hearth itself; also the state of a default Result
  invalid_argument = 2,   // the caller's words are wrong; repeating them cannot help
  not_found = 3,          // proven absent (never used for "could not ask")
  already_exists = 4,
  permission_denied = 5,
  not_directory = 6,
  is_directory = 7,
  not_empty = 8,
  name_too_long = 9,
  symlink_loop = 10,
  stale = 11,             // the file changed underneath an open handle
  corrupt = 12,           // bytes did not match their checksum and could not be refetched
  no_space = 13,
  io_error = 14,
  unavailable = 15,       // could not ask, or nobody is there: unknown, not absent
  deadline_exceeded = 16,
  cancelled = 17,
  overloaded = 18,        // refused by a bound; come back later
  version_mismatch = 19,  // the peer speaks another protocol version
  unsupported = 20,
  read_only = 21,
  busy = 22,
  unauthenticated = 23,
  bad_frame = 24,         // the peer sent bytes that are not the protocol
  wrong_epoch = 25,       // the sender was declared lost meanwhile: register again
};

// Whether asking again, unchanged, may succeed.
enum class Retry : std::uint8_t {
  never,    // the answer will be the same
  elsewhere,  // another worker, or the under-store itself, may be able to serve
  later,    // the same peer, after a pause
};

struct CodeInfo {
  Code code;
  std::string_view name;
  int error_number;  // for FUSE and the C ABI
  int exit_code;     // 0 ok, 1 failed, 2 usage, 3 partly done, 4 unreachable, 5 not found, 6 denied, 7 check found problems
  Retry retry;
};

inline constexpr std::array<CodeInfo, 26> code_table{{
    {Code::ok, "ok", 0, 0, Retry::never},
    {Code::internal, "internal", EIO, 1, Retry::elsewhere},
    {Code::invalid_argument, "invalid_argument", EINVAL, 2, Retry::never},
    {Code::not_found, "not_found", ENOENT, 5, Retry::never},
    {Code::already_exists, "already_exists", EEXIST, 1, Retry::never},
    {Code::permission_denied, "permission_denied", EACCES, 6, Retry::never},
    {Code::not_directory, "not_directory", ENOTDIR, 1, Retry::never},
    {Code::is_directory, "is_directory", EISDIR, 1, Retry::never},
    {Code::not_empty, "not_empty", ENOTEMPTY, 1, Retry::never},
    {Code::name_too_long, "name_too_long", ENAMETOOLONG, 1, Retry::never},
    {Code::symlink_loop, "symlink_loop", ELOOP, 1, Retry::never},
    {Code::stale, "stale", ESTALE, 1, Retry::never},
    {Code::corrupt, "corrupt", EIO, 1, Retry::elsewhere},
    {Code::no_space, "no_space", ENOSPC, 1, Retry::elsewhere},
    {Code::io_error, "io_error", EIO, 1, Retry::elsewhere},
    {Code::unavailable, "unavailable", EIO, 4, Retry::elsewhere},
    {Code::deadline_exceeded, "deadline_exceeded", ETIMEDOUT, 4, Retry::elsewhere},
    {Code::cancelled, "cancelled", EINTR, 1, Retry::never},
    {Code::overloaded, "overloaded", EAGAIN, 4, Retry::later},
    {Code::version_mismatch, "version_mismatch", EPROTO, 4, Retry::never},
    {Code::unsupported, "unsupported", EOPNOTSUPP, 1, Retry::never},
    {Code::read_only, "read_only", EROFS, 1, Retry::never},
    {Code::busy, "busy", EBUSY, 1, Retry::never},
    {Code::unauthenticated, "unauthenticated", EACCES, 6, Retry::never},
    {Code::bad_frame, "bad_frame", EPROTO, 1, Retry::elsewhere},
    {Code::wrong_epoch, "wrong_epoch", EIO, 1, Retry::never},
}};

namespace detail {
consteval bool code_table_is_dense() {
  for (std::size_t i = 0; i < code_table.size(); ++i) {
    if (static_cast<std::size_t>(code_table[i].code) != i) return false;
  }
  return true;
}
}  // namespace detail
static_assert(detail::code_table_is_dense(), "codes are dense and append-only: row i has number i");

// The row of a code. A number from a newer peer reads as `internal`.
constexpr const CodeInfo& info(Code code) {
  const auto index = static_cast<std::size_t>(code);
  return index < code_table.size() ? code_table[index] : code_table[1];
}
constexpr std::string_view name(Code code) { return info(code).name; }

// The code for an errno of the operating system; what has no row of its own is `io_error`.
Code code_from_errno(int error_number);

}  // namespace hearth
