#include "understore/s3/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cassert>
#include <memory>

namespace hearth::s3 {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

template <class Number>
std::string base64_big_endian(Number number) {
  std::array<std::uint8_t, sizeof(Number)> bytes{};
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes[i] = static_cast<std::uint8_t>(number >> (8 * (sizeof(Number) - 1 - i)));
  }
  return base64(bytes);
}

}  // namespace

Sha256 sha256(std::string_view data) {
  const Bytes one = as_bytes_of(data);
  return sha256(std::span(&one, 1));
}

Sha256 sha256(std::span<const Bytes> parts) {
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  Sha256 digest{};
  int good = EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const Bytes part : parts) good &= EVP_DigestUpdate(context.get(), part.data(), part.size());
  good &= EVP_DigestFinal_ex(context.get(), digest.data(), nullptr);
  assert(good == 1 && "SHA-256 can not fail but for lack of memory");
  (void)good;
  return digest;
}

Sha256 hmac_sha256(std::string_view key, std::string_view data) {
  Sha256 digest{};
  unsigned length = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(data.data());
  const auto* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, data.size(), digest.data(), &length);
  assert(done != nullptr && length == digest.size());
  (void)done;
  return digest;
}

std::array<std::uint8_t, 16> md5(std::string_view data) {
  std::array<std::uint8_t, 16> digest{};
  const int good = EVP_Digest(data.data(), data.size(), digest.data(), nullptr, EVP_md5(), nullptr);
  assert(good == 1);
  (void)good;
  return digest;
}

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    text.push_back(digits[byte / 16]);
    text.push_back(digits[byte % 16]);
  }
  return text;
}

std::string base64(std::span<const std::uint8_t> bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) group = (group << 8) | (k < have ? bytes[i + k] : 0U);
    for (std::size_t k = 0; k < 4; ++k) {
      text.push_back(k <= have ? base64_alphabet[(group >> (18 - 6 * k)) & 63] : '=');
    }
  }
  return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string decoded;
  std::uint32_t group = 0;
  std::size_t digits = 0;
  const std::size_t data = text.find_last_not_of('=') + 1;
  if (text.size() - data > 2) return std::nullopt;
  for (const char c : text.substr(0, data)) {
    const std::size_t value = base64_alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    group = (group << 6) | static_cast<std::uint32_t>(value);
    if (++digits % 4 == 0) {
      for (const int shift : {16, 8, 0}) decoded.push_back(static_cast<char>(group >> shift));
      group = 0;
    }
  }
  if (digits % 4 == 2) decoded.push_back(static_cast<char>(group >> 4));
  if (digits % 4 == 3) {
    decoded.push_back(static_cast<char>(group >> 10));
    decoded.push_back(static_cast<char>(group >> 2));
  }
  return decoded;
}

std::string base64_of_number(std::uint32_t number) { return base64_big_endian(number); }
std::string base64_of_number(std::uint64_t number) { return base64_big_endian(number); }

}  // namespace hearth::s3
