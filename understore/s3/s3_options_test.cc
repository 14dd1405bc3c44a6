#include "understore/s3/s3_options.h"

#include <gtest/gtest.h>

namespace hearth::s3 {
namespace {

TEST(S3Options, ReadsBucketAndPrefixInOneSpelling) {
  for (const char* uri : {"s3://bucket/a%20b/c", "S3://bucket/a%20b/c/", "s3://bucket/a b/c//"}) {
    const auto options = parse_s3_options(uri, {});
    ASSERT_TRUE(options) << uri << ": " << options.error().to_string();
    EXPECT_EQ(options->bucket, "bucket");
    EXPECT_EQ(options->prefix, "a b/c/");
    EXPECT_EQ(options->uri, "s3://bucket/a%20b/c");
  }
  for (const char* uri : {"s3://bucket", "s3://bucket/"}) EXPECT_EQ(parse_s3_options(uri, {})->prefix, "") << uri;
}

TEST(S3Options, RefusesUrisThatNameNoBucketOrPrefix) {
  for (const char* uri : {"s3://", "s3:///x", "s3://b", "s3://bu cket/x", "s3://bucket/a//b", "s3://bucket/../x", "s3://bucket/./x", "s3://bucket/%zz",
                          "s3://bucket/a?versionId=1", "s3://bucket/a#b", "s3://bucket/%00", "s3://user:secret@bucket/x", "bucket/x"}) {
    EXPECT_EQ(parse_s3_options(uri, {}).code(), Code::invalid_argument) << uri;
  }
}

TEST(S3Options, ReadsEveryOption) {
  const auto options = parse_s3_options("s3://bucket/p", {{"endpoint", "https://s3.example.com:9000/"}, {"region", "eu-central-1"}, {"path_style", "false"},
                                                          {"credentials", "file:/etc/keys#prod"}, {"requester_pays", "true"}, {"sse", "kms:arn:aws:kms:x"},
                                                          {"payload", "streaming"}, {"checksum", "crc64nvme"}, {"parallel", "32"}, {"part_size", "16MiB"},
                                                          {"sweep_uploads_after", "168h"},
                                                          {"ca_file", "/etc/ca.pem"}, {"client_certificate", "/etc/c.pem"}, {"client_key", "/etc/k.pem"},
                                                          {"proxy", "http://proxy:3128"}, {"sts_endpoint", "https://sts.example.com"}});
  ASSERT_TRUE(options) << options.error().to_string();
  EXPECT_EQ(options->endpoint, "https://s3.example.com:9000");
  EXPECT_EQ(options->region, "eu-central-1");
  EXPECT_TRUE(options->virtual_hosted());
  EXPECT_EQ(options->credentials.kind, CredentialSource::Kind::file);
  EXPECT_EQ(options->credentials.path, "/etc/keys");
  EXPECT_EQ(options->credentials.profile, "prod");
  EXPECT_EQ(options->requester_pays, RequesterPays::yes);
  EXPECT_EQ(options->encryption.kind, Encryption::Kind::kms);
  EXPECT_EQ(options->encryption.kms_key_id, "arn:aws:kms:x");
  EXPECT_EQ(options->payload, PayloadSigning::streaming);
  EXPECT_EQ(options->checksum, Checksum::crc64nvme);
  EXPECT_EQ(options->parallel, 32U);
  EXPECT_EQ(options->part_bytes, 16U << 20);
  EXPECT_EQ(options->proxy, "http://proxy:3128");
  EXPECT_EQ(options->sweep_uploads_after, Duration(std::chrono::hours(168)));
  EXPECT_EQ(s3_option_names().size(), 16U) << "an option that this test does not set";
}

TEST(S3Options, AnUnknownOptionNamesTheNearest) {
  const auto options = parse_s3_options("s3://bucket", {{"endpont", "http://x"}});
  ASSERT_EQ(options.code(), Code::invalid_argument);
  EXPECT_NE(options.error().message().find("did you mean endpoint?"), std::string::npos) << options.error().message();
}

TEST(S3Options, RefusesValuesOfAnotherForm) {
  for (const StoreOptions& options : std::vector<StoreOptions>{
           {{"endpoint", "s3.example.com"}}, {{"endpoint", "ftp://x"}}, {{"endpoint", "http://user:pw@x"}}, {{"endpoint", "http://"}},
           {{"region", "eu\r\nx: y"}}, {{"region", ""}}, {{"path_style", "yes"}}, {{"requester_pays", "1"}}, {{"sse", "aes"}}, {{"sse", "c:key"}},
           {{"payload", "x"}}, {{"checksum", "md5"}}, {{"parallel", "0"}}, {{"parallel", "1000"}}, {{"parallel", "4x"}}, {{"part_size", "1MiB"}}, {{"sweep_uploads_after", "30s"}}, {{"sweep_uploads_after", "always"}},
           {{"part_size", "16"}}, {{"ca_file", "ca.pem"}}, {{"sse", "c:/key"}, {"endpoint", "http://x"}}}) {
    EXPECT_EQ(parse_s3_options("s3://bucket", options).code(), Code::invalid_argument) << options.begin()->first << "=" << options.begin()->second;
  }
  EXPECT_EQ(parse_s3_options("s3://bucket.with.dots", {{"path_style", "false"}}).code(), Code::invalid_argument);
}

TEST(S3Options, ASecretWrittenAsCredentialsIsNotRepeated) {
  const auto options = parse_s3_options("s3://bucket", {{"credentials", "AKIACANARY:canary-secret"}});
  ASSERT_EQ(options.code(), Code::invalid_argument);
  EXPECT_EQ(options.error().message().find("canary"), std::string::npos) << options.error().message();
}

TEST(S3Options, VirtualHostedOnlyAtAwsAndWhereTheNameAllows) {
  EXPECT_TRUE(parse_s3_options("s3://bucket", {})->virtual_hosted());
  EXPECT_FALSE(parse_s3_options("s3://bucket.with.dots", {})->virtual_hosted());
  EXPECT_FALSE(parse_s3_options("s3://Bucket", {})->virtual_hosted());
  EXPECT_FALSE(parse_s3_options("s3://bucket", {{"endpoint", "http://127.0.0.1:9000"}})->virtual_hosted());
  EXPECT_FALSE(parse_s3_options("s3://bucket", {{"path_style", "true"}})->virtual_hosted());
}

TEST(CredentialSource, ReadsItsFormsAndWritesThemBack) {
  for (const char* text : {"default", "env", "file:/etc/keys", "file:/etc/keys#prod", "profile:dev", "systemd:s3-keys", "web-identity", "container", "imds", "anonymous"}) {
    const auto source = parse_credential_source(text);
    ASSERT_TRUE(source) << text;
    EXPECT_EQ(to_string(*source), text);
  }
  for (const char* text : {"file:", "file:relative", "profile:", "systemd:", "systemd:../x", "env:x", "key", "imds:"}) {
    EXPECT_EQ(parse_credential_source(text).code(), Code::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace hearth::s3
