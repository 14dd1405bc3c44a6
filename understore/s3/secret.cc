#include "understore/s3/secret.h"

#include <cstring>
#include <ostream>

#include <sys/mman.h>
#include <unistd.h>

namespace hearth::s3 {

// Never changes after it was made, so that any thread may read it.
class Secret::Page {
 public:
  explicit Page(std::string_view text) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = (text.size() + page - 1) / page * page;
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    // No memory for a page: an empty secret fails to sign, which says so; nothing is exposed.
    if (at == MAP_FAILED) return;
    ::madvise(at, bytes, MADV_DONTDUMP);
    (void)::mlock(at, bytes);  // refused beyond RLIMIT_MEMLOCK: then it may be swapped
    data_ = static_cast<char*>(at);
    size_ = text.size();
    mapped_bytes_ = bytes;
    std::memcpy(data_, text.data(), size_);
  }
  ~Page() {
    if (data_ == nullptr) return;
    ::explicit_bzero(data_, mapped_bytes_);
    ::munmap(data_, mapped_bytes_);
  }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  std::string_view text() const { return {data_, size_}; }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_bytes_ = 0;
};

Secret::Secret(std::string_view text) : page_(text.empty() ? nullptr : std::make_shared<const Page>(text)) {}

std::string_view Secret::reveal() const { return page_ ? page_->text() : std::string_view(); }

std::ostream& operator<<(std::ostream& out, const Secret& secret) { return out << (secret.empty() ? "" : "***"); }

void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

}  // namespace hearth::s3
