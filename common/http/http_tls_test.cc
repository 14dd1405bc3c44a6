#include "common/http/http_test_support.h"
#include "common/http/test_certificate.h"
#include "common/http/test_server.h"

namespace hearth {
namespace {

class HttpTlsTest : public HttpTest {
 protected:
  static TestReply hello(const TestRequest&) { return {.body = "hello"}; }

  HttpRequest get_trusting(const TestServer& server) {
    HttpRequest request = get(server.origin() + "/");
    request.connect_to = "127.0.0.1:" + std::to_string(server.port());
    request.tls.ca_file = authority_.ca_file();
    return request;
  }

  TestAuthority authority_;
};

TEST_F(HttpTlsTest, TrustsTheGivenAuthorityAndNobodyElse) {
  const TestKeyPair pair = authority_.issue("localhost");
  TestServer server(&hello, {.certificate_file = pair.certificate_file, .key_file = pair.key_file});
  const auto trusted = send(get_trusting(server));
  ASSERT_TRUE(trusted) << trusted.error().to_string();
  EXPECT_EQ(trusted->body, "hello");
  HttpRequest with_the_systems = get_trusting(server);
  with_the_systems.tls.ca_file.clear();
  EXPECT_EQ(send(std::move(with_the_systems)).code(), Code::permission_denied);
  const TestAuthority other;
  HttpRequest with_another = get_trusting(server);
  with_another.tls.ca_file = other.ca_file();
  EXPECT_EQ(send(std::move(with_another)).code(), Code::permission_denied);
}

TEST_F(HttpTlsTest, RefusesACertificateOfAnotherName) {
  const TestKeyPair pair = authority_.issue("elsewhere.example");
  TestServer server(&hello, {.certificate_file = pair.certificate_file, .key_file = pair.key_file});
  const auto reply = send(get_trusting(server));
  EXPECT_EQ(reply.code(), Code::permission_denied);
  EXPECT_NE(reply.error().message().find("localhost"), std::string::npos) << reply.error().message();
  EXPECT_EQ(server.requests(), 0U);
}

TEST_F(HttpTlsTest, PresentsItsOwnCertificate) {
  const TestKeyPair pair = authority_.issue("localhost");
  const TestKeyPair mine = authority_.issue("client");
  TestServer server(&hello, {.certificate_file = pair.certificate_file,
                             .key_file = pair.key_file,
                             .client_ca_file = authority_.ca_file()});
  EXPECT_FALSE(send(get_trusting(server)));
  HttpRequest request = get_trusting(server);
  request.tls.client_certificate = mine.certificate_file;
  request.tls.client_key = mine.key_file;
  const auto reply = send(std::move(request));
  ASSERT_TRUE(reply) << reply.error().to_string();
  HttpRequest wrong = get_trusting(server);
  wrong.tls.client_certificate = "/does/not/exist.pem";
  EXPECT_EQ(send(std::move(wrong)).code(), Code::invalid_argument);
}

TEST_F(HttpTlsTest, ATlsAnswerThatIsCutIsNoWholeOne) {
  const TestKeyPair pair = authority_.issue("localhost");
  TestServer server([](const TestRequest&) { return TestReply{.body = std::string(100'000, 'x'), .cut_body_at = 50'000}; },
                    {.certificate_file = pair.certificate_file, .key_file = pair.key_file});
  EXPECT_FALSE(send(get_trusting(server)));
}

TEST_F(HttpTlsTest, PlainBytesToATlsPortAndBackAreErrors) {
  const TestKeyPair pair = authority_.issue("localhost");
  TestServer tls(&hello, {.certificate_file = pair.certificate_file, .key_file = pair.key_file});
  EXPECT_FALSE(send(get("http://127.0.0.1:" + std::to_string(tls.port()) + "/")));
  TestServer plain(&hello);
  HttpRequest request = get("https://127.0.0.1:" + std::to_string(plain.port()) + "/");
  request.timeouts.connect = std::chrono::milliseconds(200);
  EXPECT_EQ(send(std::move(request)).code(), Code::unavailable);
}

}  // namespace
}  // namespace hearth
