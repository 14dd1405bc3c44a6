#include "common/fork.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cstddef>
#include <new>

namespace hearth {
namespace detail {
std::atomic<std::uint64_t>* process_word = nullptr;
}

namespace {

// A bit per descriptor: a forked child may not allocate or lock before it knows itself.
constexpr std::size_t word_bits = 64;
std::array<std::atomic<std::uint64_t>, 65'536 / word_bits> to_close{};

std::atomic<std::uint64_t>* word_of(int fd) {
  const auto index = static_cast<std::size_t>(fd) / word_bits;
  return fd < 0 || index >= to_close.size() ? nullptr : &to_close[index];
}

std::uint64_t bit_of(int fd) { return 1ULL << (static_cast<unsigned>(fd) % word_bits); }

void in_child() {
  detail::process_word->store(0, std::memory_order_relaxed);
  for (std::size_t i = 0; i < to_close.size(); ++i) {
    for (std::uint64_t bits = to_close[i].exchange(0, std::memory_order_relaxed); bits != 0; bits &= bits - 1) {
      ::close(static_cast<int>(i * word_bits) + std::countr_zero(bits));
    }
  }
}

std::atomic<std::uint64_t>* make_word() {
  static std::atomic<std::uint64_t> fallback{0};  // the handler alone notices
  const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* page = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  auto* word = &fallback;
  if (page != MAP_FAILED) {
    word = new (page) std::atomic<std::uint64_t>(0);  // tidy-allow(raw-new): lies in the page, for the life of the process
    (void)::madvise(page, size, MADV_WIPEONFORK);
  }
  detail::process_word = word;
  ::pthread_atfork(nullptr, nullptr, in_child);
  return word;
}

}  // namespace

std::uint64_t process_generation() {
  static std::atomic<std::uint64_t>* const word = make_word();
  static std::atomic<std::uint64_t> last{0};  // goes on counting in a child
  std::uint64_t now = word->load();
  while (now == 0) {
    const std::uint64_t fresh = last.fetch_add(1) + 1;
    if (word->compare_exchange_strong(now, fresh)) now = fresh;
  }
  return now;
}

void closed_in_child(int fd) {
  (void)process_generation();  // the handler is there
  if (auto* word = word_of(fd)) word->fetch_or(bit_of(fd), std::memory_order_relaxed);
}

void kept_in_child(int fd) {
  if (auto* word = word_of(fd)) word->fetch_and(~bit_of(fd), std::memory_order_relaxed);
}

}  // namespace hearth
