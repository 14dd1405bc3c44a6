// A secret in memory: prints as "***", is left out of core dumps, and is wiped when it goes.
//
// Threads: const use from any.
// Owns:    a page of its own (secrets are few), locked where the system allows it. Copies share it, because credentials
//          and keys travel with every request and a page costs five system calls; the last copy wipes it.
// Never:   converts to a string by itself: reveal() is what a reviewer searches for.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>

namespace hearth::s3 {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);

  bool empty() const { return reveal().empty(); }
  // Only for computing signatures and for the header or body that must carry it.
  std::string_view reveal() const;
  bool operator==(const Secret& other) const { return reveal() == other.reveal(); }

 private:
  class Page;
  std::shared_ptr<const Page> page_;  // null: empty
};

std::ostream& operator<<(std::ostream& out, const Secret& secret);

// Overwrites the bytes in a way that the compiler keeps, then empties it.
void wipe(std::string& text);

}  // namespace hearth::s3
