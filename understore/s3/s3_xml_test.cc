#include "understore/s3/s3_xml.h"

#include <gtest/gtest.h>

namespace hearth::s3 {
namespace {

std::string list_xml(const std::string& inside) {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" + inside +
         "</ListBucketResult>";
}
std::string object_xml(const std::string& key) {
  return "<Contents><Key>" + key + "</Key><LastModified>2009-10-12T17:50:30.123Z</LastModified><ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag>"
         "<Size>434234</Size><StorageClass>STANDARD</StorageClass></Contents>";
}

TEST(S3Xml, ReadsAPageOfAListing) {
  const auto page = parse_list_page(list_xml("<IsTruncated>true</IsTruncated><NextContinuationToken>t/+=</NextContinuationToken>" +
                                             object_xml("a &amp; b") + "<CommonPrefixes><Prefix>photos/</Prefix></CommonPrefixes>"));
  ASSERT_TRUE(page) << page.error().to_string();
  ASSERT_EQ(page->objects.size(), 1U);
  EXPECT_EQ(page->objects[0].key, "a & b");
  EXPECT_EQ(page->objects[0].etag, "fba9dede5f27731c9771645a39863328");
  EXPECT_EQ(page->objects[0].length_bytes, 434234U);
  EXPECT_EQ(page->objects[0].mtime_ns, 1255369830'000000000);
  EXPECT_EQ(page->prefixes, std::vector<std::string>{"photos/"});
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_token, "t/+=");
}

TEST(S3Xml, DecodesNamesOnlyWhenTheReplySaysThatTheyAreEncoded) {
  const std::string entries = object_xml("a%2Bb+c") + "<CommonPrefixes><Prefix>d%20e/</Prefix></CommonPrefixes>";
  const auto encoded = parse_list_page(list_xml("<EncodingType>url</EncodingType>" + entries));
  ASSERT_TRUE(encoded);
  EXPECT_EQ(encoded->objects[0].key, "a+b c");
  EXPECT_EQ(encoded->prefixes[0], "d e/");
  const auto plain = parse_list_page(list_xml(entries));
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->objects[0].key, "a%2Bb+c");
  EXPECT_EQ(plain->prefixes[0], "d%20e/");
}

TEST(S3Xml, KeepsWhiteSpaceThatIsAName) {
  const auto page = parse_list_page(list_xml(object_xml(" ") + object_xml(" a\r\n ")));
  ASSERT_TRUE(page) << page.error().to_string();
  EXPECT_EQ(page->objects[0].key, " ");
  EXPECT_EQ(page->objects[1].key, " a\r\n ");
}

TEST(S3Xml, ReadsWhateverPrefixTheNamespaceHas) {
  const auto page = parse_list_page("<s:ListBucketResult xmlns:s='x'><s:Contents><s:Key>k</s:Key><s:Size>1</s:Size></s:Contents></s:ListBucketResult>");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->objects[0].key, "k");
}

TEST(S3Xml, RefusesHostileReplies) {
  const std::vector<std::string> hostile{
      "", " ", "not xml", "<", "<a", "<ListBucketResult>", "<html><body>It works!</body></html>",
      "<!DOCTYPE x [<!ENTITY a \"aaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]><ListBucketResult><Contents><Key>&b;</Key><Size>1</Size></Contents></ListBucketResult>",
      list_xml("<!-- hidden -->"), list_xml("<![CDATA[x]]>"),
      list_xml("<IsTruncated>true</IsTruncated>"),                               // would never end
      list_xml("<Contents><Key></Key><Size>1</Size></Contents>"),                // no name
      list_xml("<Contents><Key>a</Key></Contents>"),                             // no size
      list_xml("<Contents><Key>a</Key><Size>-1</Size></Contents>"),
      list_xml("<Contents><Key>a</Key><Size>1e3</Size></Contents>"),
      list_xml("<Contents><Key>a</Key><Size>99999999999999999999999</Size></Contents>"),
      list_xml("<EncodingType>url</EncodingType>" + object_xml("%zz")),
      std::string(max_xml_bytes + 1, ' ')};
  for (const std::string& xml : hostile) {
    const auto page = parse_list_page(xml);
    EXPECT_EQ(page.code(), Code::corrupt) << xml.substr(0, 100);
  }
}

TEST(S3Xml, BoundsDepthAndCountBeforeATreeIsBuilt) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_EQ(parse_list_page(deep).code(), Code::corrupt);
  std::string nested = "x";
  for (std::size_t i = 0; i < max_xml_depth; ++i) nested = "<a>" + nested + "</a>";
  EXPECT_EQ(parse_list_page(list_xml(nested)).code(), Code::corrupt);
  std::string many;
  for (std::size_t i = 0; i < max_xml_elements; ++i) many += "<a/>";
  EXPECT_EQ(parse_list_page(list_xml(many)).code(), Code::corrupt);
}

TEST(S3Xml, APageOfAThousandLongEncodedKeysFits) {
  std::string key;
  for (int i = 0; i < 1024; ++i) key += "%FF";
  std::string entries = "<EncodingType>url</EncodingType>";
  for (int i = 0; i < 1000; ++i) entries += object_xml(key);
  const auto page = parse_list_page(list_xml(entries));
  ASSERT_TRUE(page) << page.error().to_string();
  EXPECT_EQ(page->objects.size(), 1000U);
  EXPECT_EQ(page->objects[999].key, std::string(1024, '\xff'));
}

TEST(S3Xml, ReadsErrors) {
  const auto error = parse_error("<Error><Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong</Message>"
                                 "<Region>eu-central-1</Region><RequestId>4442587FB7D0A2F9</RequestId></Error>");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, "AuthorizationHeaderMalformed");
  EXPECT_EQ(error->region, "eu-central-1");
  EXPECT_EQ(error->request_id, "4442587FB7D0A2F9");
  const auto sts = parse_error("<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredTokenException</Code></Error><RequestId>r1</RequestId></ErrorResponse>");
  ASSERT_TRUE(sts);
  EXPECT_EQ(sts->code, "ExpiredTokenException");
  EXPECT_EQ(sts->request_id, "r1");
  EXPECT_FALSE(parse_error("<html>502</html>"));
  EXPECT_FALSE(parse_error("oops"));
}

TEST(S3Xml, AnErrorInsideATwoHundredIsAnError) {
  const auto failed = parse_write_outcome("<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>try again</Message></Error>");
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->written);
  EXPECT_EQ(failed->error->code, "InternalError");
  const auto written = parse_write_outcome("<CompleteMultipartUploadResult><ETag>\"e-2\"</ETag></CompleteMultipartUploadResult>");
  ASSERT_TRUE(written);
  EXPECT_EQ(written->written->etag, "e-2");
  EXPECT_EQ(parse_write_outcome("<CopyObjectResult></CopyObjectResult>").code(), Code::corrupt);
  EXPECT_EQ(parse_write_outcome("<Other/>").code(), Code::corrupt);
}

TEST(S3Xml, ReadsUploadsDeletionsAndTemporaryCredentials) {
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>").value_or(""), "u1");
  EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult/>").code(), Code::corrupt);
  const auto failures = parse_delete_result("<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>");
  ASSERT_TRUE(failures);
  ASSERT_EQ(failures->size(), 1U);
  EXPECT_EQ((*failures)[0].key, "b");
  const auto uploads = parse_upload_page("<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>k</Key><UploadId>u</UploadId>"
                                         "<Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload></ListMultipartUploadsResult>");
  ASSERT_TRUE(uploads);
  EXPECT_EQ(uploads->uploads[0].initiated_ns, 1289422113'000000000);
  const auto sts = parse_web_identity_reply("<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t</SessionToken>"
                                            "<SecretAccessKey>s</SecretAccessKey><Expiration>2014-10-24T23:00:23Z</Expiration><AccessKeyId>a</AccessKeyId>"
                                            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>");
  ASSERT_TRUE(sts);
  EXPECT_EQ(sts->secret_access_key, "s");
  EXPECT_EQ(sts->expires_ns, 1414191623'000000000);
}

TEST(S3Xml, WritesNamesThatXmlCanNotHoldAsTheyAre) {
  EXPECT_NE(delete_objects_body({"a<&>\"\x01\n"}).find("<Key>a&lt;&amp;&gt;&quot;&#1;&#10;</Key>"), std::string::npos);
  const std::string body = complete_upload_body({{.number = 1, .etag = "e", .checksum_element = "ChecksumCRC32C", .checksum = "AAAA=="}});
  EXPECT_NE(body.find("<PartNumber>1</PartNumber><ETag>&quot;e&quot;</ETag><ChecksumCRC32C>AAAA==</ChecksumCRC32C>"), std::string::npos);
}

TEST(S3Xml, ReadsTimesStrictly) {
  EXPECT_EQ(parse_http_time_ns("Wed, 28 Oct 2009 22:32:00 GMT"), 1256769120'000000000);
  EXPECT_EQ(parse_http_time_ns("Wed, 28 Oct 2009 22:32:00 CET"), std::nullopt);
  EXPECT_EQ(parse_iso_time_ns("2009-10-28T22:32:00Z"), 1256769120'000000000);
  EXPECT_EQ(parse_iso_time_ns("2009-10-28T22:32:00+02:00"), std::nullopt);
  EXPECT_EQ(parse_iso_time_ns("yesterday"), std::nullopt);
}

}  // namespace
}  // namespace hearth::s3
