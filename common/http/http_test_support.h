// What the tests of the HTTP client share: a client on a thread of its own, driven by the test's.
#pragma once

#include "common/http/http.h"
#include "common/io_thread.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace hearth {

class HttpTest : public ::testing::Test {
 protected:
  HttpTest() { io_.start(); }
  ~HttpTest() override { client_.reset(); }

  static Deadline soon() { return Deadline::after(real_clock(), std::chrono::seconds(20)); }
  static HttpRequest get(const std::string& url) {
    HttpRequest request;
    request.url = url;
    return request;
  }
  Result<HttpReply> send(HttpRequest request) { return io_.run_sync(client_->send(std::move(request), soon())); }

  IoThread io_{"http-test"};
  std::unique_ptr<HttpClient> client_ = make_http_client({}, real_clock());
};

}  // namespace hearth
