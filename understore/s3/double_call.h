// What the parts of the double share: one request taken apart, and how its replies are written.
#pragma once

#include "understore/s3/s3_double.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::s3 {

// One request, taken apart.
struct S3Double::Call {
  const TestRequest& request;
  std::string operation;
  std::string key;
  std::map<std::string, std::string> query;
  std::string body;
  DoubleFault fault;
  std::string request_id;

  std::string header(std::string_view name) const { return std::string(request.header(name).value_or("")); }
};

namespace double_text {

std::string http_time(WallTime when);
std::string iso_time(WallTime when);
std::string xml_text(std::string_view text);
// All <tag>text</tag> in a document of this client's own making.
std::vector<std::string> elements(const std::string& xml, const std::string& tag);
// As S3 writes names with encoding-type=url: forms, so a space is "+".
std::string form_encode(std::string_view text);
TestReply xml_reply(std::string inside);
TestReply refusal(int status, const std::string& code, const std::string& message, const std::string& id, const std::string& more = "");

}  // namespace double_text
}  // namespace hearth::s3
