// The namenodes of a cluster, and which one answered last.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace hearth::hdfs {

class Namenodes {
 public:
  explicit Namenodes(std::vector<std::string> addresses) : addresses_(std::move(addresses)) {}

  std::size_t size() const { return addresses_.size(); }
  // The one to ask as the attempt-th, beginning with the one that answered last.
  std::size_t choose(std::size_t preferred, std::size_t attempt) const { return (preferred + attempt) % size(); }
  std::size_t preferred() const { return preferred_.load(std::memory_order_relaxed); }
  const std::string& address(std::size_t index) const { return addresses_[index]; }
  void answered(std::size_t index) { preferred_.store(index, std::memory_order_relaxed); }
  // The next call begins with another one, unless somebody found a better one meanwhile.
  void failed(std::size_t index);
  std::string to_string() const;

 private:
  const std::vector<std::string> addresses_;
  std::atomic<std::size_t> preferred_{0};
};

}  // namespace hearth::hdfs
