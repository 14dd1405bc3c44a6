#include "understore/s3/double_call.h"

#include <cctype>
#include <cstdio>
#include <ctime>

namespace hearth::s3::double_text {
namespace {

std::string time_text(WallTime when, const char* format) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<std::chrono::seconds>(when));
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[64];
  std::strftime(text, sizeof text, format, &utc);
  return text;
}
std::string xml_undo(std::string text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto end = text[i] == '&' ? text.find(';', i) : std::string::npos;
    if (end == std::string::npos) {
      out.push_back(text[i]);
      continue;
    }
    const std::string name = text.substr(i + 1, end - i - 1);
    if (name == "amp") out.push_back('&');
    else if (name == "lt") out.push_back('<');
    else if (name == "gt") out.push_back('>');
    else if (name == "quot") out.push_back('"');
    else if (name.starts_with('#')) out.push_back(static_cast<char>(std::stoi(name.substr(1))));
    i = end;
  }
  return out;
}

}  // namespace

std::string http_time(WallTime when) { return time_text(when, "%a, %d %b %Y %H:%M:%S GMT"); }
std::string iso_time(WallTime when) { return time_text(when, "%Y-%m-%dT%H:%M:%S.000Z"); }

std::string xml_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else if (static_cast<unsigned char>(c) < 0x20) out += "&#" + std::to_string(static_cast<int>(c)) + ";";
    else out.push_back(c);
  }
  return out;
}

std::vector<std::string> elements(const std::string& xml, const std::string& tag) {
  std::vector<std::string> found;
  const std::string open = "<" + tag + ">";
  for (std::size_t at = xml.find(open); at != std::string::npos; at = xml.find(open, at + 1)) {
    const auto begin = at + open.size();
    found.push_back(xml_undo(xml.substr(begin, xml.find("</" + tag + ">", begin) - begin)));
  }
  return found;
}

std::string form_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-_.*/").find(c) != std::string_view::npos) {
      out.push_back(c);
    } else if (c == ' ') {
      out.push_back('+');
    } else {
      char escape[4];
      std::snprintf(escape, sizeof escape, "%%%02X", byte);
      out += escape;
    }
  }
  return out;
}

TestReply xml_reply(std::string inside) {
  TestReply reply;
  reply.headers.push_back({.name = "Content-Type", .value = "application/xml"});
  reply.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + std::move(inside);
  return reply;
}

TestReply refusal(int status, const std::string& code, const std::string& message, const std::string& id, const std::string& more) {
  TestReply reply = xml_reply("<Error><Code>" + code + "</Code><Message>" + xml_text(message) + "</Message>" + more + "<RequestId>" + id + "</RequestId></Error>");
  reply.status = status;
  return reply;
}

}  // namespace hearth::s3::double_text
