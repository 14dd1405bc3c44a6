// Bodies of calls as a peer may send them: protobuf parses or refuses, and a block that is accepted keeps its promises
// (pages cover it, no length overflows). The first byte chooses the message.
#include "common/block_wire.h"
#include "proto/hearth.pb.h"
#include "worker/wire.h"

#include <google/protobuf/stubs/logging.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

namespace {

using namespace hearth;

const auto quiet = google::protobuf::SetLogHandler(nullptr);  // refusals are expected by the thousand

void require(bool condition) {
  if (!condition) std::abort();
}

void check_block(const proto::BlockRef& message) {
  const auto block = block_from_wire(message);
  if (!block) return;
  require(block->length_bytes > 0 && block->page_count() > 0);
  require(block->page_size_bytes <= max_page_size_bytes);
  const PageIndex last{block->page_count() - 1};
  const std::uint64_t covered = std::uint64_t{last.value} * block->page_size_bytes + block->page_length_bytes(last);
  require(covered == block->length_bytes);
  proto::BlockRef again;
  block_to_wire(*block, again);
  require(again.SerializeAsString().size() <= message.ByteSizeLong() + 64);
}

template <class Message>
bool parse(Message& message, const std::string& bytes) {
  return message.ParseFromString(bytes);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0: {
      proto::ReadRequest request;
      if (!parse(request, bytes)) return 0;
      check_block(request.block());
      if (const auto block = block_from_wire(request.block())) {
        const auto inside = worker::check_range(*block, request.offset_bytes(), request.length_bytes());
        if (inside) require(request.offset_bytes() + request.length_bytes() <= block->length_bytes);
      }
      break;
    }
    case 1: {
      proto::ResolveReply reply;
      if (!parse(reply, bytes)) return 0;
      for (const auto& block : reply.blocks()) check_block(block);
      break;
    }
    case 2: {
      proto::HeartbeatRequest request;
      (void)parse(request, bytes);
      break;
    }
    case 3: {
      proto::RegisterWorkerRequest request;
      (void)parse(request, bytes);
      break;
    }
    default: {
      proto::ListReply reply;
      (void)parse(reply, bytes);
    }
  }
  return 0;
}
