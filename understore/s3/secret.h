// A secret in memory: prints as "***", is left out of core dumps, and is wiped when it goes.
//
// Threads: const use from any.
// Owns:    a page of its own (secrets are few), locked where the system allows it.
// Never:   converts to a string by itself: reveal() is what a reviewer searches for.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <string>
#include <string_view>

namespace hearth::s3 {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);
  ~Secret();
  Secret(const Secret& other);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret other) noexcept;

  bool empty() const { return size_ == 0; }
  // Only for computing signatures and for the header or body that must carry it.
  std::string_view reveal() const { return {data_, size_}; }
  bool operator==(const Secret& other) const { return reveal() == other.reveal(); }

 private:
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_bytes_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Secret& secret);

// Overwrites the bytes in a way that the compiler keeps, then empties it.
void wipe(std::string& text);

}  // namespace hearth::s3
