// Whatever a server sends as status line, headers and body, in lines and pieces of any form: it is refused, or the body
// stays within what was asked for.
#include "common/http/transfer.h"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t max_header_bytes = 4096;
constexpr std::size_t max_body_bytes = 64;

// Lines of the head up to the empty one, then the body in pieces of seven.
void feed(hearth::Transfer& transfer, std::string_view text) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, std::min(text.find('\n'), text.size() - 1) + 1);
    text.remove_prefix(line.size());
    if (transfer.on_header(line) != line.size()) return;
    if (line == "\r\n" && transfer.status() >= 200) break;
  }
  while (!text.empty()) {
    const std::string_view piece = text.substr(0, 7);
    text.remove_prefix(piece.size());
    if (transfer.on_body(piece) != piece.size()) return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  boost::asio::io_context context{1};
  std::vector<std::byte> into(data[0] % 2 == 0 ? 0 : max_body_bytes);
  hearth::HttpRequest request;
  request.url = "http://host/";
  request.into = into;
  request.max_body_bytes = max_body_bytes;
  const auto transfer = std::make_shared<hearth::Transfer>(std::move(request), hearth::TimePoint::max(), context.get_executor());
  if (!transfer->check()) std::abort();
  transfer->started(max_header_bytes, [] {});
  if (!transfer->on_connected()) std::abort();
  feed(*transfer, {reinterpret_cast<const char*>(data) + 1, size - 1});
  if (transfer->received_bytes() > max_body_bytes) std::abort();
  transfer->end(transfer->failure());
  if (transfer->take_outcome().has_value() == transfer->failure().has_value()) std::abort();
  return 0;
}
