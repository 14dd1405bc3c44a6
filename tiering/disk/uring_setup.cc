#include "tiering/disk/uring_setup.h"

#include "tiering/disk/uring_disk.h"

#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <initializer_list>
#include <string>

namespace hearth::disk {
namespace {

constexpr std::uint32_t max_entries = 4096;  // the kernel takes 32768; more in flight than this helps no device

// From the best to what every kernel with the operations below has (5.15).
constexpr std::array<unsigned, 4> wanted_flags{
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_R_DISABLED,
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED,
    IORING_SETUP_R_DISABLED,
};

Error unsupported(const std::string& what, int error_number) {
  return Error(Code::unsupported, what + ": " + std::strerror(error_number));
}

// "" or what is missing.
std::string missing_operation(io_uring& ring) {
  io_uring_probe* probe = io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return "the kernel does not say which io_uring operations it has";
  std::string missing;
  for (const int operation : {IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
                              IORING_OP_FALLOCATE, IORING_OP_OPENAT2, IORING_OP_CLOSE, IORING_OP_UNLINKAT,
                              IORING_OP_RENAMEAT, IORING_OP_MKDIRAT}) {
    if (io_uring_opcode_supported(probe, operation) == 0) {
      missing = "the kernel has no io_uring operation " + std::to_string(operation);
    }
  }
  io_uring_free_probe(probe);
  return missing;
}

}  // namespace

Result<std::unique_ptr<io_uring>> make_ring(std::uint32_t queue_depth) {
  const std::uint32_t entries = std::bit_ceil(std::clamp<std::uint32_t>(queue_depth, 1, max_entries));
  auto ring = std::make_unique<io_uring>();
  int answer = -EINVAL;
  for (const unsigned flags : wanted_flags) {
    answer = io_uring_queue_init(entries, ring.get(), flags);
    if (answer != -EINVAL) break;
  }
  if (answer == -EPERM || answer == -EACCES) {
    return unsupported("io_uring is forbidden here (seccomp, or kernel.io_uring_disabled)", -answer);
  }
  if (answer == -ENOSYS) return unsupported("the kernel has no io_uring", -answer);
  if (answer == -ENOMEM) return unsupported("io_uring may lock no more memory (raise LimitMEMLOCK)", -answer);
  if (answer < 0) return unsupported("io_uring can not be set up", -answer);
  std::string missing = missing_operation(*ring);
  if (missing.empty()) return ring;
  io_uring_queue_exit(ring.get());
  return Error(Code::unsupported, std::move(missing));
}

bool start_ring(io_uring& ring) {
  // As io_uring_enable_rings(), which the library of Debian 12 declares but does not export.
  if (::syscall(__NR_io_uring_register, ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, nullptr, 0) < 0) return false;
  io_uring_register_ring_fd(&ring);  // spares a look-up per enter; without it all works the same
  return true;
}

void end_ring(io_uring& ring, bool is_issuer) {
  if (!is_issuer) {
    // The registered descriptor is the issuer's, gone with it: liburing would free another ring's place.
    ring.int_flags = 0;
    ring.enter_ring_fd = ring.ring_fd;
  }
  io_uring_queue_exit(&ring);
}

std::string probe_uring() {
  constexpr std::uint32_t any_depth = 8;
  auto ring = make_ring(any_depth);
  if (!ring) return ring.error().message();
  end_ring(**ring, false);
  return "";
}

}  // namespace hearth::disk
