#include "understore/s3/s3_options.h"

#include "common/units.h"
#include "understore/s3/uri_encode.h"
#include "understore/store_path.h"

#include <array>
#include <charconv>

namespace hearth::s3 {
namespace {

Error bad_value(std::string_view name, std::string_view value, std::string_view accepted) {
  return Error(Code::invalid_argument, "option " + std::string(name) + " = " + printable_path(value) + ": expected " + std::string(accepted));
}

template <class Value>
struct Choice {
  std::string_view word;
  Value value;
};

template <class Value, std::size_t count>
Result<Value> choose(std::string_view name, std::string_view text, const std::array<Choice<Value>, count>& choices) {
  std::string accepted;
  for (const Choice<Value>& choice : choices) {
    if (choice.word == text) return choice.value;
    accepted += (accepted.empty() ? "" : ", ") + std::string(choice.word);
  }
  return bad_value(name, text, "one of " + accepted);
}

// A label that DNS and certificates of "*.s3.region.amazonaws.com" can hold: a dot would need a second level.
bool is_dns_label(std::string_view bucket) {
  if (bucket.size() < 3 || bucket.size() > 63 || bucket.front() == '-' || bucket.back() == '-') return false;
  return bucket.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

Status parse_bucket_and_prefix(std::string_view uri, S3Options& into) {
  TRY(parsed, parse_store_uri(uri));
  const auto bad = [&](std::string_view why) {
    return Error(Code::invalid_argument, "under-store URI " + printable_path(uri) + " " + std::string(why) + "; expected s3://bucket/prefix");
  };
  if (parsed.rest.find_first_of("?#") != std::string::npos) return bad("contains ? or #; write them as %3F and %23");
  const auto slash = std::min(parsed.rest.find('/'), parsed.rest.size());
  into.bucket = parsed.rest.substr(0, slash);
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
  if (into.bucket.size() < 3 || into.bucket.size() > 255 || into.bucket.find_first_not_of(allowed) != std::string::npos) {
    return bad("names no bucket (3 to 63 letters, digits, - and .)");
  }
  auto prefix = percent_decode(std::string_view(parsed.rest).substr(slash));
  if (!prefix) return bad("has a % without two hex digits behind it; write a literal % as %25");
  while (prefix->ends_with('/')) prefix->pop_back();
  if (prefix->starts_with('/')) prefix->erase(0, 1);
  if (!check_store_path(*prefix)) return bad("has a prefix with an empty, \".\" or \"..\" component, which no path reaches");
  into.prefix = prefix->empty() ? "" : *prefix + "/";
  into.uri = "s3://" + into.bucket + (prefix->empty() ? "" : "/" + uri_encode_path(*prefix));
  return ok();
}

Status parse_endpoint(const std::string& text, std::string_view name, std::string& into) {
  if (!text.starts_with("http://") && !text.starts_with("https://")) {
    return bad_value(name, text, "http://host[:port] or https://host[:port]");
  }
  into = text;
  while (into.ends_with('/') && !into.ends_with("://")) into.pop_back();
  const auto host = into.substr(into.find("://") + 3);
  if (host.empty() || host.find_first_of("?#@ \r\n\t\"<>") != std::string::npos) {
    return bad_value(name, text, "http://host[:port] or https://host[:port], without user, query or fragment");
  }
  return ok();
}

Status parse_encryption(const std::string& text, Encryption& into) {
  using Kind = Encryption::Kind;
  if (text == "none") return ok();
  if (text == "s3") {
    into.kind = Kind::s3;
  } else if (text == "kms" || text.starts_with("kms:")) {
    into.kind = Kind::kms;
    into.kms_key_id = text.size() > 4 ? text.substr(4) : "";
  } else if (text.starts_with("c:/")) {
    into.kind = Kind::customer_key;
    into.key_file = text.substr(2);
  } else {
    return bad_value("sse", text, "none, s3, kms, kms:key-id, or c:/file-with-the-key");
  }
  return ok();
}

Status parse_parallel(const std::string& text, std::uint32_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  if (error != std::errc() || end != text.data() + text.size() || into < 1 || into > 256) {
    return bad_value("parallel", text, "a number from 1 to 256");
  }
  return ok();
}

Status parse_part_size(const std::string& text, std::uint64_t& into) {
  TRY(size, parse_size(text));
  if (size < 5_MiB || size > 1_GiB) return bad_value("part_size", text, "5MiB to 1GiB");
  into = size.bytes;
  return ok();
}

// An upload of somebody else's must have had all the time it may take.
Status parse_sweep(const std::string& text, std::optional<Duration>& into) {
  if (text == "never") return ok();
  TRY(age, parse_duration(text));
  if (age < std::chrono::hours(1)) return bad_value("sweep_uploads_after", text, "never, or at least 1h");
  into = age;
  return ok();
}

// Nothing that could end a header or a URL early.
Status check_word(std::string_view name, const std::string& text) {
  if (text.empty() || text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != std::string::npos) {
    return bad_value(name, text, "letters, digits, -, . and _");
  }
  return ok();
}

Status set_file(std::string_view name, const std::string& text, std::string& into) {
  if (!text.starts_with('/')) return bad_value(name, text, "an absolute path");
  into = text;
  return ok();
}

Status set_option(const std::string& name, const std::string& value, S3Options& into) {
  static constexpr std::array path_styles{Choice<PathStyle>{"auto", PathStyle::automatic}, Choice<PathStyle>{"true", PathStyle::always},
                                          Choice<PathStyle>{"false", PathStyle::never}};
  static constexpr std::array yes_no{Choice<RequesterPays>{"true", RequesterPays::yes}, Choice<RequesterPays>{"false", RequesterPays::no}};
  static constexpr std::array payloads{
      Choice<PayloadSigning>{"auto", PayloadSigning::automatic}, Choice<PayloadSigning>{"unsigned", PayloadSigning::unsigned_body},
      Choice<PayloadSigning>{"signed", PayloadSigning::signed_body}, Choice<PayloadSigning>{"streaming", PayloadSigning::streaming}};
  static constexpr std::array checksums{Choice<Checksum>{"none", Checksum::none}, Choice<Checksum>{"crc32c", Checksum::crc32c},
                                        Choice<Checksum>{"crc64nvme", Checksum::crc64nvme}, Choice<Checksum>{"sha256", Checksum::sha256}};
  if (name == "endpoint") return parse_endpoint(value, name, into.endpoint);
  if (name == "sts_endpoint") return parse_endpoint(value, name, into.sts_endpoint);
  if (name == "proxy") return parse_endpoint(value, name, into.proxy);
  if (name == "sse") return parse_encryption(value, into.encryption);
  if (name == "parallel") return parse_parallel(value, into.parallel);
  if (name == "sweep_uploads_after") return parse_sweep(value, into.sweep_uploads_after);
  if (name == "part_size") return parse_part_size(value, into.part_bytes);
  if (name == "ca_file") return set_file(name, value, into.ca_file);
  if (name == "client_certificate") return set_file(name, value, into.client_certificate);
  if (name == "client_key") return set_file(name, value, into.client_key);
  if (name == "region") {
    CHECK_OK(check_word(name, value));
    into.region = value;
  } else if (name == "path_style") {
    TRY(style, choose(name, value, path_styles));
    into.path_style = style;
  } else if (name == "requester_pays") {
    TRY(pays, choose(name, value, yes_no));
    into.requester_pays = pays;
  } else if (name == "payload") {
    TRY(payload, choose(name, value, payloads));
    into.payload = payload;
  } else if (name == "checksum") {
    TRY(checksum, choose(name, value, checksums));
    into.checksum = checksum;
  } else if (name == "credentials") {
    TRY(source, parse_credential_source(value));
    into.credentials = std::move(source);
  }
  return ok();
}

}  // namespace

const std::vector<std::string_view>& s3_option_names() {
  static const std::vector<std::string_view> names{"endpoint", "region",  "path_style", "credentials",        "requester_pays", "sse",   "payload",
                                                   "checksum", "parallel", "part_size", "sweep_uploads_after", "ca_file", "client_certificate", "client_key",     "proxy", "sts_endpoint"};
  return names;
}

bool S3Options::virtual_hosted() const {
  if (path_style != PathStyle::automatic) return path_style == PathStyle::never;
  return endpoint.empty() && is_dns_label(bucket);
}

Result<S3Options> parse_s3_options(std::string_view uri, const StoreOptions& options) {
  S3Options parsed;
  CHECK_OK(parse_bucket_and_prefix(uri, parsed));
  CHECK_OK(check_store_option_names(parsed.uri, options, s3_option_names()));
  for (const auto& [name, value] : options) CHECK_OK(set_option(name, value, parsed));
  if (parsed.path_style == PathStyle::never && !is_dns_label(parsed.bucket)) {
    return bad_value("path_style", "false", "true or auto, since the bucket " + parsed.bucket + " can not be part of a host name");
  }
  if (parsed.encryption.kind == Encryption::Kind::customer_key && !parsed.tls()) {
    return bad_value("sse", "c:" + parsed.encryption.key_file, "an https endpoint, since the key travels with each request");
  }
  return parsed;
}

}  // namespace hearth::s3
