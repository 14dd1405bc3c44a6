#include "understore/hdfs/namenodes.h"

namespace hearth::hdfs {

void Namenodes::failed(std::size_t index) {
  std::size_t expected = index;
  preferred_.compare_exchange_strong(expected, (index + 1) % size(), std::memory_order_relaxed);
}

std::string Namenodes::to_string() const {
  std::string text;
  for (const std::string& each : addresses_) text += (text.empty() ? "" : ", ") + each;
  return text;
}

}  // namespace hearth::hdfs
