#include "common/http/test_certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace hearth {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

constexpr long one_day_s = 24L * 60 * 60;

Key make_key() { return {EVP_EC_gen("P-256"), &EVP_PKEY_free}; }

void add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  assert(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

struct Lifetime {
  long begins_s = -one_day_s;  // from now
  long ends_s = one_day_s;
};

Certificate make_certificate(const std::string& name, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key, long serial, Lifetime lifetime = {}) {
  Certificate made(X509_new(), &X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), lifetime.begins_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), lifetime.ends_s);
  X509_set_pubkey(made.get(), key);
  X509_NAME* subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  const bool is_authority = issuer == nullptr;
  X509_set_issuer_name(made.get(), is_authority ? subject : X509_get_subject_name(issuer));
  add_extension(made.get(), is_authority ? made.get() : issuer, NID_basic_constraints,
                is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!is_authority) add_extension(made.get(), issuer, NID_subject_alt_name, "DNS:" + name);
  X509_sign(made.get(), issuer_key, EVP_sha256());
  return made;
}

void write_pem(const std::string& path, X509* certificate, EVP_PKEY* key) {
  const File file(std::fopen(path.c_str(), "w"), &std::fclose);
  assert(file != nullptr);
  if (certificate != nullptr) PEM_write_X509(file.get(), certificate);
  if (key != nullptr) PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
}

}  // namespace

struct TestAuthority::Impl {
  explicit Impl(const std::string& name) : certificate(make_certificate(name, key.get(), nullptr, key.get(), 1)) {}
  std::filesystem::path directory;
  Key key = make_key();
  Certificate certificate;
  long next_serial = 2;
};

TestAuthority::TestAuthority(const std::string& name) : impl_(std::make_unique<Impl>(name)) {
  std::string pattern = (std::filesystem::temp_directory_path() / "hearth-tls-XXXXXX").string();
  const char* made = ::mkdtemp(pattern.data());
  assert(made != nullptr && "a temporary directory can be made");
  impl_->directory = made;
  write_pem(ca_file(), impl_->certificate.get(), nullptr);
}

TestAuthority::~TestAuthority() {
  std::error_code ignored;
  std::filesystem::remove_all(impl_->directory, ignored);
}

std::string TestAuthority::ca_file() const { return (impl_->directory / "ca.pem").string(); }

TestKeyPair TestAuthority::issue(const std::string& dns_name, Validity validity) {
  const long serial = impl_->next_serial++;
  const Key key = make_key();
  const Lifetime lifetime = validity == Validity::now ? Lifetime() : Lifetime{.begins_s = -2 * one_day_s, .ends_s = -one_day_s};
  const Certificate certificate =
      make_certificate(dns_name, key.get(), impl_->certificate.get(), impl_->key.get(), serial, lifetime);
  const std::string stem = (impl_->directory / std::to_string(serial)).string();
  TestKeyPair pair{.certificate_file = stem + ".pem", .key_file = stem + ".key"};
  write_pem(pair.certificate_file, certificate.get(), nullptr);
  write_pem(pair.key_file, nullptr, key.get());
  return pair;
}

}  // namespace hearth
