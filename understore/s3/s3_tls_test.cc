// A store over TLS whose certificate does not do: one clear sentence, and not a byte of a request.
#include "common/http/test_certificate.h"
#include "understore/access_check.h"
#include "understore/s3/s3_world.h"

#include <gtest/gtest.h>

namespace hearth::s3 {
namespace {

using Validity = TestAuthority::Validity;

class S3Tls : public ::testing::Test {
 protected:
  // A double that presents a certificate for `name`, and a store that trusts `trusted`.
  void start(const std::string& name, const TestAuthority& trusted, Validity validity = Validity::now) {
    const TestKeyPair pair = authority_.issue(name, validity);
    DoubleOptions options;
    options.server = {.certificate_file = pair.certificate_file, .key_file = pair.key_file};
    store_ = std::make_unique<DoubleStore>(options, StoreOptions{{"ca_file", trusted.ca_file()}});
    store_->server().put("f", "content");
  }
  // What stat, list and read say, all alike; and what `hearth attach --dry-run` says.
  void expect_refused(const std::string& words) {
    const auto stat = store_->stat("f");
    for (const Error& error : {stat.error(), store_->list("").error(), store_->read("f", "s1-e-1", 0, 1).error()}) {
      EXPECT_EQ(error.code(), Code::permission_denied) << error.to_string();
      EXPECT_NE(error.message().find("localhost"), std::string::npos) << error.message();
      EXPECT_NE(error.message().find(words), std::string::npos) << error.message();
      EXPECT_EQ(error.message().find('\n'), std::string::npos) << error.message();
    }
    EXPECT_EQ(store_->server().count(""), 0U) << "nothing was sent";
    const StoreContext context{.pool = store_->opener().pool(), .clock = real_clock(), .http = &store_->opener().http()};
    const StoreOptions options{{"endpoint", store_->server().origin()}, {"ca_file", store_->store().client().options().ca_file}, {"credentials", "anonymous"}};
    const auto steps = run_task(check_store_access("s3://bucket", options, context, DoubleStore::soon()));
    ASSERT_TRUE(steps);
    EXPECT_EQ(steps->back().name, "tls");
    EXPECT_EQ(steps->back().outcome.code(), Code::permission_denied);
    EXPECT_NE(steps->back().outcome.error().message().find(words), std::string::npos) << steps->back().outcome.error().message();
  }

  TestAuthority authority_;
  std::unique_ptr<DoubleStore> store_;
};

TEST_F(S3Tls, ATrustedCertificateOfThatNameServes) {
  start("localhost", authority_);
  EXPECT_EQ(store_->read_all("f").value_or("failed"), "content");
}

TEST_F(S3Tls, ACertificateOfAnotherNameIsSaidSo) {
  start("elsewhere.example", authority_);
  expect_refused("the peer's certificate is for another name than this host");
}

TEST_F(S3Tls, AnExpiredCertificateIsSaidSo) {
  start("localhost", authority_, Validity::over);
  expect_refused("the peer's certificate has expired");
}

TEST_F(S3Tls, AnUnknownAuthorityIsSaidSo) {
  const TestAuthority other("An authority of somebody else");
  start("localhost", other);
  expect_refused("an authority that this host does not trust; name that authority in ca_file");
}

TEST_F(S3Tls, AnAuthorityThatHasAnotherKeyByNowIsUnknown) {
  const TestAuthority before;
  start("localhost", before);
  expect_refused("an authority that this host does not trust; name that authority in ca_file");
}

TEST_F(S3Tls, ACaFileThatIsNotThereIsNamed) {
  start("localhost", authority_);
  StoreOptions options{{"endpoint", store_->server().origin()}, {"ca_file", "/nonexistent/ca.pem"}, {"credentials", "anonymous"}};
  const auto opened = store_->opener().open("s3://bucket", options, store_->opener().seams({}));
  ASSERT_TRUE(opened) << opened.error().to_string();
  const auto answer = run_task((*opened)->stat("f", DoubleStore::soon()));
  EXPECT_EQ(answer.code(), Code::invalid_argument) << answer.error().to_string();
  EXPECT_NE(answer.error().message().find("/nonexistent/ca.pem"), std::string::npos) << answer.error().message();
}

}  // namespace
}  // namespace hearth::s3
