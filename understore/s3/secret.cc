#include "understore/s3/secret.h"

#include <cstring>
#include <ostream>
#include <utility>

#include <sys/mman.h>
#include <unistd.h>

namespace hearth::s3 {

Secret::Secret(std::string_view text) {
  if (text.empty()) return;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  mapped_bytes_ = (text.size() + page - 1) / page * page;
  void* at = ::mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) {
    // No memory for a page: an empty secret fails to sign, which says so; nothing is exposed.
    mapped_bytes_ = 0;
    return;
  }
  ::madvise(at, mapped_bytes_, MADV_DONTDUMP);
  (void)::mlock(at, mapped_bytes_);  // refused beyond RLIMIT_MEMLOCK: then it may be swapped
  data_ = static_cast<char*>(at);
  size_ = text.size();
  std::memcpy(data_, text.data(), size_);
}

Secret::~Secret() {
  if (data_ == nullptr) return;
  ::explicit_bzero(data_, mapped_bytes_);
  ::munmap(data_, mapped_bytes_);
}

Secret::Secret(const Secret& other) : Secret(other.reveal()) {}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

Secret& Secret::operator=(Secret other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

std::ostream& operator<<(std::ostream& out, const Secret& secret) { return out << (secret.empty() ? "" : "***"); }

void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace hearth::s3
