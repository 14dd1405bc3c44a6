#include "common/file_io.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace hearth {
namespace {

Status write_with(int fd, std::span<const std::byte> bytes, std::uint64_t offset, int flags, std::string_view what) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const iovec part{const_cast<std::byte*>(bytes.data() + done), bytes.size() - done};
    const ssize_t count = ::pwritev2(fd, &part, 1, static_cast<off_t>(offset + done), flags);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_call_failed(what, "write");
    done += static_cast<std::size_t>(count);
  }
  return ok();
}

}  // namespace

Error system_call_failed(std::string_view what, std::string_view call) {
  const int number = errno;
  return Error(code_from_errno(number), std::string(what) + ": " + std::string(call) + ": " + std::strerror(number))
      .with_error_number(number);
}

Result<std::size_t> read_at(int fd, std::span<std::byte> into, std::uint64_t offset, std::string_view what) {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t count = ::pread(fd, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return system_call_failed(what, "read");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
  }
  return done;
}

Status write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset, std::string_view what) {
  return write_with(fd, bytes, offset, 0, what);
}

Status append_to(int fd, std::span<const std::byte> bytes, std::string_view what) {
  return write_with(fd, bytes, 0, RWF_APPEND, what);
}

}  // namespace hearth
