// Whatever the metadata store gives back (a damaged disk, a newer version): records decode or are refused, and what is
// accepted encodes to what decodes to the same. The first byte chooses the kind of record.
#include "master/records.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using namespace hearth::master;

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view record(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0: {
      const auto inode = decode_inode(hearth::InodeId{7}, record);
      if (inode) require(decode_inode(hearth::InodeId{7}, encode(*inode)).has_value());
      break;
    }
    case 1: {
      const auto entry = decode_entry(record);
      if (entry) require(*decode_entry(encode(*entry)) == *entry);
      break;
    }
    case 2: {
      const auto attachment = decode_attachment(record);
      if (attachment) require(*decode_attachment(encode(*attachment)) == *attachment);
      break;
    }
    case 3: {
      const auto policy = decode_policy(7, record);
      if (policy) require(*decode_policy(7, encode(*policy)) == *policy);
      break;
    }
    case 4: {
      const auto move = decode_move(7, record);
      if (move) require(*decode_move(7, encode(*move)) == *move);
      break;
    }
    default: {
      const auto number = number_from_key(record);
      if (number) require(number_key(*number) == record);
    }
  }
  return 0;
}
