#include "common/http/transfer.h"

#include "common/http/http_url.h"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace hearth {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  const auto same = [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

bool has_line_break(std::string_view text) { return text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos; }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blank = " \t\r\n";
  const auto begin = text.find_first_not_of(blank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

// A connection that was kept may have been closed just now. libcurl then asks again on a new one, which is right only
// where asking twice is harmless.
bool may_be_asked_twice(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD" || request.negotiate.has_value();
}

}  // namespace

std::optional<std::string_view> HttpHead::header(std::string_view name) const {
  for (const HttpHeader& each : headers) {
    if (same_name(each.name, name)) return each.value;
  }
  return std::nullopt;
}

Transfer::Transfer(HttpRequest request, TimePoint deadline, Executor home)
    : request_(std::move(request)), deadline_(deadline), made_(std::chrono::steady_clock::now()), home_(std::move(home)) {
  phase_since_ = made_;
  last_byte_ = made_;
  for (const auto& span : request_.body) upload_bytes_ += span.size();
}

Status Transfer::check() {
  TRY(url, parse_http_url(request_.url));
  host_key_ = url.origin() + " " + request_.connect_to.value_or("") + " " + request_.proxy;
  for (const HttpHeader& each : request_.headers) {
    if (each.name.empty() || has_line_break(each.name) || has_line_break(each.value) ||
        each.name.find(':') != std::string::npos) {
      return Error(Code::invalid_argument, describe() + " has a header whose name or value can not be sent");
    }
  }
  const auto letter = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (request_.method.empty() || !std::all_of(request_.method.begin(), request_.method.end(), letter)) {
    return Error(Code::invalid_argument, "an HTTP method is capital letters");
  }
  if (upload_bytes_ > 0 && (request_.method == "GET" || request_.method == "HEAD")) {
    return Error(Code::invalid_argument, describe() + " has a body, which that method does not send");
  }
  return ok();
}

std::string Transfer::describe() const {
  const auto url = parse_http_url(request_.url);
  return request_.method + " " + (url ? url->printable() : "(not a URL)");
}

void Transfer::started(std::size_t max_header_bytes, std::function<void()> on_phase) {
  max_header_bytes_ = max_header_bytes;
  on_phase_ = std::move(on_phase);
  enter(Phase::connecting);
}

void Transfer::enter(Phase phase) {
  phase_ = phase;
  phase_since_ = std::chrono::steady_clock::now();
  last_byte_ = phase_since_;
  on_phase_();
}

bool Transfer::refuse(Error error) {
  if (!failure_) failure_ = std::move(error);
  return false;
}

bool Transfer::on_connected() {
  if (++attempts_ > 1 && !may_be_asked_twice(request_)) {
    return refuse(Error(Code::unavailable, describe() + ": the kept connection was closed before the answer; whether "
                                                        "the request was carried out is unknown"));
  }
  enter(upload_bytes_ > 0 ? Phase::sending : Phase::answering);
  return true;
}

bool Transfer::on_rewind(std::uint64_t offset) {
  upload_span_ = 0;
  while (upload_span_ < request_.body.size() && offset >= request_.body[upload_span_].size()) {
    offset -= request_.body[upload_span_++].size();
  }
  upload_offset_ = static_cast<std::size_t>(offset);
  return offset == 0 || upload_span_ < request_.body.size();
}

std::size_t Transfer::on_upload(std::span<std::byte> room) {
  std::size_t copied = 0;
  while (copied < room.size() && upload_span_ < request_.body.size()) {
    const auto rest = request_.body[upload_span_].subspan(upload_offset_);
    const std::size_t count = std::min(rest.size(), room.size() - copied);
    if (count > 0) std::memcpy(room.data() + copied, rest.data(), count);
    copied += count;
    upload_offset_ += count;
    if (count < rest.size()) continue;
    ++upload_span_;
    upload_offset_ = 0;
  }
  sent_ += copied;
  last_byte_ = std::chrono::steady_clock::now();
  if (upload_span_ == request_.body.size() && phase_ == Phase::sending) enter(Phase::answering);
  return copied;
}

bool Transfer::start_head(std::string_view line) {
  head_ = HttpHead{};
  head_complete_ = false;  // but header_bytes_ counts on: informational heads without end are a long head too
  const auto space = line.find(' ');
  const std::string_view number = space == std::string_view::npos ? std::string_view() : line.substr(space + 1, 3);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), head_.status);
  if (parsed.ec != std::errc() || head_.status < 100) {
    return refuse(Error(Code::corrupt, describe() + ": the peer's answer is not HTTP"));
  }
  return true;
}

void Transfer::add_header(std::string_view line) {
  if ((line.front() == ' ' || line.front() == '\t') && !head_.headers.empty()) {  // folded: obsolete, still seen
    head_.headers.back().value += " " + std::string(trimmed(line));
    return;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  HttpHeader header{std::string(trimmed(line.substr(0, colon))), std::string(trimmed(line.substr(colon + 1)))};
  head_.headers.push_back(std::move(header));
}

std::size_t Transfer::on_header(std::string_view line) {
  if (first_byte_ == Duration{}) first_byte_ = std::chrono::steady_clock::now() - made_;
  last_byte_ = std::chrono::steady_clock::now();
  if (phase_ == Phase::sending || phase_ == Phase::answering) enter(Phase::receiving);
  if (accepted_ || received_ > 0) return line.size();  // trailers say nothing that anybody here believes
  if (line.starts_with("HTTP/") && (head_.status == 0 || head_complete_)) {
    if (!start_head(line)) return 0;
  } else if (trimmed(line).empty()) {
    if (!on_head_complete()) return 0;
  } else {
    add_header(line);
  }
  header_bytes_ += line.size();
  if (header_bytes_ > max_header_bytes_) {
    refuse(Error(Code::overloaded, describe() + ": the reply's headers are longer than " +
                                       std::to_string(max_header_bytes_) + " bytes"));
    return 0;
  }
  return line.size();
}

Error Transfer::too_many_bytes(std::string_view why) const {
  return Error(Code::corrupt, describe() + ": " + std::string(why) + " than the " +
                                  std::to_string(request_.into.size()) + " bytes that were asked for");
}

bool Transfer::on_head_complete() {
  head_complete_ = true;
  if (head_.status < 200) return true;  // informational: the real one follows
  const auto length = head_.header("Content-Length");
  std::uint64_t bytes = 0;
  if (length && !head_.header("Transfer-Encoding")) {
    const auto parsed = std::from_chars(length->data(), length->data() + length->size(), bytes);
    if (parsed.ec != std::errc() || parsed.ptr != length->data() + length->size()) {
      return refuse(Error(Code::corrupt, describe() + ": the reply's Content-Length is not a number"));
    }
    head_.content_length = bytes;
  }
  const bool good = head_.status / 100 == 2;
  if (!good) return true;
  if (request_.accept_head) {
    auto verdict = request_.accept_head(head_);
    if (!verdict) return refuse(std::move(verdict).error());
  }
  accepted_ = true;
  if (request_.method == "HEAD" || !head_.content_length) return true;
  if (!request_.into.empty() && bytes > request_.into.size()) return refuse(too_many_bytes("the reply announces more"));
  if (request_.into.empty() && bytes > request_.max_body_bytes) {
    return refuse(Error(Code::overloaded, describe() + ": the reply announces " + std::to_string(bytes) +
                                              " bytes, more than the " + std::to_string(request_.max_body_bytes) +
                                              " that are collected"));
  }
  return true;
}

std::size_t Transfer::on_body(std::string_view bytes) {
  last_byte_ = std::chrono::steady_clock::now();
  if (!accepted_ || request_.into.empty()) {
    if (body_.size() + bytes.size() > request_.max_body_bytes) {
      refuse(Error(Code::overloaded, describe() + ": the reply is longer than the " +
                                         std::to_string(request_.max_body_bytes) + " bytes that are collected"));
      return 0;
    }
    body_.append(bytes);
    received_ += bytes.size();
    return bytes.size();
  }
  if (bytes.size() > request_.into.size() - received_) {
    refuse(too_many_bytes("the reply brings more"));
    return 0;
  }
  std::memcpy(request_.into.data() + received_, bytes.data(), bytes.size());
  received_ += bytes.size();
  if (request_.progress) request_.progress(received_);
  return bytes.size();
}

TimePoint Transfer::due() const {
  TimePoint phase_end = TimePoint::max();
  const HttpTimeouts& limits = request_.timeouts;
  switch (phase_) {
    case Phase::connecting: phase_end = phase_since_ + limits.connect; break;
    case Phase::answering: phase_end = phase_since_ + limits.first_byte; break;
    case Phase::sending:
    case Phase::receiving: phase_end = last_byte_ + limits.stall; break;
    case Phase::waiting:
    case Phase::ended: break;
  }
  return std::min(phase_end, deadline_);
}

std::optional<Error> Transfer::expired(TimePoint now) const {
  if (now < due()) return std::nullopt;
  const auto in_ms = [](Duration limit) {
    return std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count()) + " ms";
  };
  std::string state;
  switch (phase_) {
    case Phase::waiting: state = "while it waited for one of the host's connections"; break;
    case Phase::connecting: state = "while connecting"; break;
    case Phase::sending: state = "after sending " + std::to_string(sent_) + " bytes"; break;
    case Phase::answering: state = "before the first byte of the answer"; break;
    default: state = "after " + std::to_string(received_) + " bytes of the answer"; break;
  }
  if (now >= deadline_) return Error(Code::deadline_exceeded, describe() + ": the deadline passed " + state);
  const HttpTimeouts& limits = request_.timeouts;
  switch (phase_) {
    case Phase::connecting:
      return Error(Code::unavailable, describe() + ": no connection within " + in_ms(limits.connect));
    case Phase::answering:
      return Error(Code::unavailable, describe() + ": no answer within " + in_ms(limits.first_byte));
    default:
      return Error(Code::unavailable, describe() + ": no byte for " + in_ms(limits.stall) + " " + state);
  }
}

void Transfer::end(std::optional<Error> error) {
  if (phase_ == Phase::ended) return;
  phase_ = Phase::ended;
  if (error) {
    outcome_ = std::move(*error);
  } else {
    const Duration total = std::chrono::steady_clock::now() - made_;
    HttpReply reply{std::move(head_), std::move(body_), received_, first_byte_, total};
    outcome_ = std::move(reply);
  }
  asio::post(home_, [self = shared_from_this()] { self->ended_.wake(); });
}

}  // namespace hearth
