// Signatures that AWS published: the SigV4 test suite (service "service", 2015-08-30) and the examples of the S3
// documentation (2013-05-24). Requests of the suite that need dot segments removed are not S3: it signs paths as sent.
#include "understore/s3/sigv4.h"

#include "understore/s3/uri_encode.h"

#include <gtest/gtest.h>

#include <cstring>

namespace hearth::s3 {
namespace {

WallTime at_utc(int year, int month, int day, int hour, int minute) {
  std::tm utc{.tm_min = minute, .tm_hour = hour, .tm_mday = day, .tm_mon = month - 1, .tm_year = year - 1900};
  return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::from_time_t(::timegm(&utc)));
}

struct Vector {
  const char* name;
  const char* method;
  const char* raw_path;
  QueryParameters query;
  std::vector<HttpHeader> headers;
  const char* body;
  const char* signature;
};

std::vector<Vector> suite() {
  const std::string every = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  static const std::string every_path = "/" + every;
  return {
      {"get-vanilla", "GET", "/", {}, {}, "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"get-header-key-duplicate", "GET", "/", {}, {{"My-Header1", "value2"}, {"My-Header1", "value2"}, {"My-Header1", "value1"}}, "",
       "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"},
      {"get-header-value-order", "GET", "/", {}, {{"My-Header1", "value4"}, {"My-Header1", "value1"}, {"My-Header1", "value3"}, {"My-Header1", "value2"}}, "",
       "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
      {"get-header-value-trim", "GET", "/", {}, {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}}, "",
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"get-unreserved", "GET", every_path.c_str(), {}, {}, "", "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-utf8", "GET", "/\u1234", {}, {}, "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-vanilla-empty-query-key", "GET", "/", {{"Param1", "value1"}}, {}, "",
       "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"},
      {"get-vanilla-query-order-key-case", "GET", "/", {{"Param2", "value2"}, {"Param1", "value1"}}, {}, "",
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-vanilla-query-unreserved", "GET", "/", {{every, every}}, {}, "", "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"},
      {"get-vanilla-utf8-query", "GET", "/", {{"\u1234", "bar"}}, {}, "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"},
      {"post-vanilla", "POST", "/", {}, {}, "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"post-header-key-sort", "POST", "/", {}, {{"My-Header1", "value1"}}, "", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"},
      {"post-header-value-case", "POST", "/", {}, {{"My-Header1", "VALUE1"}}, "", "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
      {"post-vanilla-query", "POST", "/", {{"Param1", "value1"}}, {}, "", "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"},
      {"post-vanilla-query-nonunreserved", "POST", "/", {{"@#$%^", ""}, {"+", "/,?><`\";:\\|][{}"}}, {}, "",
       "66c82657c86e26fb25238d0e69f011edc4c6df5ae71119d7cb98ed9b87393c1e"},
      {"post-vanilla-query-space", "POST", "/", {{"p", ""}}, {}, "", "e71688addb58a26418614085fb730ba3faa623b461c17f48f2fbdb9361b94a9b"},
      {"post-x-www-form-urlencoded", "POST", "/", {}, {{"Content-Type", "application/x-www-form-urlencoded"}}, "Param1=value1",
       "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
      {"post-x-www-form-urlencoded-parameters", "POST", "/", {}, {{"Content-Type", "application/x-www-form-urlencoded; charset=utf8"}}, "Param1=value1",
       "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"},
  };
}

TEST(SigV4, SignsTheRequestsOfTheAwsTestSuite) {
  Signer signer;
  const Credentials credentials{.access_key_id = "AKIDEXAMPLE", .secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")};
  const SigningScope scope{.region = "us-east-1", .service = "service"};
  for (const Vector& vector : suite()) {
    SignableRequest request{.method = vector.method,
                            .encoded_path = uri_encode_path(vector.raw_path),
                            .query = vector.query,
                            .headers = vector.headers,
                            .payload_hash = hex(sha256(vector.body))};
    request.headers.push_back({.name = "Host", .value = "example.amazonaws.com"});
    // What the suite calls trimming folds runs of spaces inside quotes too.
    EXPECT_EQ(signer.sign(credentials, scope, at_utc(2015, 8, 30, 12, 36), request).signature, vector.signature) << vector.name;
  }
}

TEST(SigV4, SignsASessionTokenAsTheSuiteDoes) {
  Signer signer;
  const Credentials credentials{
      .access_key_id = "AKIDEXAMPLE",
      .secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
      .session_token = Secret("AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthA"
                              "x7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
                              "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==")};
  SignableRequest request{.method = "POST", .encoded_path = "/", .headers = {{"host", "example.amazonaws.com"}}, .payload_hash = hex(sha256(""))};
  EXPECT_EQ(signer.sign(credentials, {.region = "us-east-1", .service = "service"}, at_utc(2015, 8, 30, 12, 36), request).signature,
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

class SigV4S3Examples : public ::testing::Test {
 protected:
  SeedSignature sign(SignableRequest request) {
    return signer_.sign(credentials_, {.region = "us-east-1"}, at_utc(2013, 5, 24, 0, 0), request);
  }

  Signer signer_;
  Credentials credentials_{.access_key_id = "AKIAIOSFODNN7EXAMPLE", .secret_access_key = Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")};
  std::string empty_ = hex(sha256(""));
};

TEST_F(SigV4S3Examples, GetObject) {
  EXPECT_EQ(sign({.method = "GET", .encoded_path = "/test.txt",
                  .headers = {{"Host", "examplebucket.s3.amazonaws.com"}, {"Range", "bytes=0-9"}}, .payload_hash = empty_}).signature,
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST_F(SigV4S3Examples, PutObject) {
  EXPECT_EQ(sign({.method = "PUT", .encoded_path = uri_encode_path("/test$file.text"),
                  .headers = {{"Host", "examplebucket.s3.amazonaws.com"}, {"Date", "Fri, 24 May 2013 00:00:00 GMT"},
                              {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                  .payload_hash = hex(sha256("Welcome to Amazon S3."))}).signature,
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST_F(SigV4S3Examples, BucketLifecycleWithAParameterThatHasNoValue) {
  EXPECT_EQ(sign({.method = "GET", .encoded_path = "/", .query = {{"lifecycle", ""}},
                  .headers = {{"Host", "examplebucket.s3.amazonaws.com"}}, .payload_hash = empty_}).signature,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST_F(SigV4S3Examples, ListObjects) {
  EXPECT_EQ(sign({.method = "GET", .encoded_path = "/", .query = {{"prefix", "J"}, {"max-keys", "2"}},
                  .headers = {{"Host", "examplebucket.s3.amazonaws.com"}}, .payload_hash = empty_}).signature,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST_F(SigV4S3Examples, StreamingUploadInChunks) {
  const std::string body(66560, 'a');
  EXPECT_EQ(chunked_length(body.size(), 64U << 10), 66824U);
  SeedSignature seed = sign({.method = "PUT", .encoded_path = "/examplebucket/chunkObject.txt",
                             .headers = {{"Host", "s3.amazonaws.com"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                                         {"Content-Encoding", "aws-chunked"}, {"x-amz-decoded-content-length", "66560"},
                                         {"Content-Length", "66824"}},
                             .payload_hash = std::string(streaming_payload)});
  EXPECT_EQ(seed.signature, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
  const ChunkedBody chunked = chunked_body(std::move(seed), as_bytes_of(body), 64U << 10);
  std::string sent;
  for (const auto span : chunked.spans) sent.append(reinterpret_cast<const char*>(span.data()), span.size());
  EXPECT_EQ(sent, "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" + std::string(65536, 'a') +
                      "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" + std::string(1024, 'a') +
                      "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n");
}

TEST(SigV4, TheChunkedLengthIsTheLengthOfTheChunkedBody) {
  for (const std::size_t size : {0, 1, 99, 100, 101, 200, 1000, 4096}) {
    const std::string body(size, 'x');
    const ChunkedBody chunked = chunked_body({.key = Secret("k"), .amz_date = "d", .scope = "s", .signature = "f"}, as_bytes_of(body), 100);
    std::uint64_t sent = 0;
    for (const auto span : chunked.spans) sent += span.size();
    EXPECT_EQ(sent, chunked_length(size, 100)) << size;
  }
}

TEST(SigV4, AnonymousCredentialsSignNothing) {
  Signer signer;
  SignableRequest request{.method = "GET", .encoded_path = "/", .headers = {{"host", "h"}}, .payload_hash = "x"};
  signer.sign({}, {.region = "r"}, at_utc(2020, 1, 1, 0, 0), request);
  EXPECT_EQ(request.headers.size(), 1U);
}

TEST(SigV4, ACachedKeyIsNotUsedForAnotherDayRegionOrSecret) {
  Signer signer;
  std::vector<std::string> signatures;
  for (int pass = 0; pass < 2; ++pass) {
    for (const char* secret : {"one", "two"}) {
      for (const char* region : {"us-east-1", "eu-central-1"}) {
        for (const int day : {1, 2}) {
          SignableRequest request{.method = "GET", .encoded_path = "/", .headers = {{"host", "h"}}, .payload_hash = "x"};
          const Credentials credentials{.access_key_id = "A", .secret_access_key = Secret(secret)};
          const std::string cached = signer.sign(credentials, {.region = region}, at_utc(2020, 1, day, 0, 0), request).signature;
          request.headers.resize(1);
          Signer cold;
          EXPECT_EQ(cached, cold.sign(credentials, {.region = region}, at_utc(2020, 1, day, 0, 0), request).signature);
          signatures.push_back(cached);
        }
      }
    }
  }
  EXPECT_TRUE(std::equal(signatures.begin(), signatures.begin() + 8, signatures.begin() + 8));
  std::sort(signatures.begin(), signatures.begin() + 8);
  EXPECT_EQ(std::unique(signatures.begin(), signatures.begin() + 8), signatures.begin() + 8);
}

TEST(UriEncode, EveryByte) {
  const std::string unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    char expected[4];
    std::snprintf(expected, sizeof expected, "%%%02X", byte);
    const bool plain = unreserved.find(one) != std::string::npos;
    EXPECT_EQ(uri_encode(one), plain ? one : expected) << byte;
    EXPECT_EQ(uri_encode_path(one), plain || byte == '/' ? one : expected) << byte;
    EXPECT_EQ(percent_decode(uri_encode(one)), one) << byte;
    EXPECT_EQ(form_decode(uri_encode(one)), one) << byte;
  }
}

TEST(UriEncode, DecodesListingsAsFormsAndRefusesHalfEscapes) {
  EXPECT_EQ(form_decode("a+b%2Bc%2f"), "a b+c/");
  EXPECT_EQ(percent_decode("a+b"), "a+b");
  for (const char* broken : {"%", "%2", "%zz", "a%2", "%%41", "%-1"}) EXPECT_EQ(form_decode(broken), std::nullopt) << broken;
}

TEST(Digest, MatchesPublishedValues) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(hex(md5("abc")), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(crc64nvme(as_bytes_of("123456789")), 0xAE8B14860A799888ULL);
  EXPECT_EQ(base64_of_number(std::uint32_t{0xE3069283}), "4waSgw==");
}

TEST(Digest, Crc64GoesOnFromASeedAtEveryCut) {
  std::string text;
  for (int i = 0; i < 100; ++i) text.push_back(static_cast<char>(i * 37));
  const std::uint64_t whole = crc64nvme(as_bytes_of(text));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const std::uint64_t first = crc64nvme(as_bytes_of(std::string_view(text).substr(0, cut)));
    EXPECT_EQ(crc64nvme(as_bytes_of(std::string_view(text).substr(cut)), first), whole) << cut;
  }
}

TEST(Digest, Crc64IsTheSameWithAndWithoutCarrylessMultiplication) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text.push_back(static_cast<char>(i * 131 + i / 7));
  for (std::size_t begin : {0, 1, 7, 16}) {
    for (std::size_t length = 0; begin + length <= text.size(); ++length) {
      const Bytes bytes = as_bytes_of(std::string_view(text).substr(begin, length));
      ASSERT_EQ(crc64nvme(bytes, 42), detail::crc64nvme_portable(bytes, 42)) << begin << "+" << length;
    }
  }
}

TEST(Digest, Base64BothWays) {
  for (const auto& [plain, encoded] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(base64({reinterpret_cast<const std::uint8_t*>(plain.data()), plain.size()}), encoded);
    EXPECT_EQ(base64_decode(encoded), plain);
  }
  for (const char* broken : {"Zg", "Zg=", "Z===", "Zm9v!A==", "===="}) EXPECT_EQ(base64_decode(broken), std::nullopt) << broken;
}

TEST(Secret, PrintsAsStarsAndIsWipedWhenItGoes) {
  const Secret secret("canary-of-this-test");
  std::ostringstream out;
  out << secret;
  EXPECT_EQ(out.str(), "***");
  Secret copy = secret;
  Secret moved = std::move(copy);
  EXPECT_TRUE(copy.empty());  // NOLINT(bugprone-use-after-move): moved-from is empty by contract
  EXPECT_EQ(moved, secret);
  std::string text = "canary";
  const char* bytes = text.data();
  wipe(text);
  EXPECT_EQ(std::memcmp(bytes, "\0\0\0\0\0\0", 6), 0);
}

}  // namespace
}  // namespace hearth::s3
