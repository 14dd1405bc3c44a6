// A port of our own in front of another, so that a test can make a real server unreachable.
//
// Threads: one per connection. Owns: its port and connections; stop() ends them.
#pragma once

#include <memory>
#include <string>

namespace hearth::s3 {

class TcpRelay {
 public:
  explicit TcpRelay(const std::string& origin);  // "http://127.0.0.1:port"
  ~TcpRelay();
  std::string origin() const;
  void stop();  // idempotent

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::s3
