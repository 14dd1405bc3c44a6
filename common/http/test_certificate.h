// Certificates for tests: an authority made on the spot, and servers or clients signed by it.
//
// Owns: files in a temporary directory of its own, removed with it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace hearth {

struct TestKeyPair {
  std::string certificate_file;
  std::string key_file;
};

class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "Hearth test authority");
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  std::string ca_file() const;
  enum class Validity : std::uint8_t { now, over };
  // For a server or client of that DNS name ("localhost").
  TestKeyPair issue(const std::string& dns_name, Validity validity = Validity::now);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth
