// Credentials when they are needed: fetched once for all who wait, refreshed before they expire.
//
// Threads: get() and refused() from any thread; get() resumes on the caller's executor.
// Owns:    the current credentials. The context's members outlive it, and so do its callers' tasks.
// Never:   shows a secret: messages name the source only.
// Fails:   unauthenticated (nothing configured, or refused), unavailable (the source did not answer),
//          invalid_argument (a file of another form), deadline_exceeded.
#pragma once

#include "common/blocking.h"
#include "common/clock.h"
#include "understore/s3/credential_source.h"
#include "understore/s3/sigv4.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace hearth::s3 {

using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

struct CredentialContext {
  BlockingPool& pool;
  Clock& clock;
  HttpClient& http;
  Environment environment;
  std::string region = "us-east-1";
  std::string sts_endpoint;  // "" = AWS_ENDPOINT_URL_STS, else https://sts.REGION.amazonaws.com
};

// One place that credentials come from. not_found: nothing is configured there, ask the next one.
class CredentialFetcher {
 public:
  virtual ~CredentialFetcher() = default;
  virtual Task<Credentials> fetch(Deadline deadline) = 0;
};

class CredentialProvider {
 public:
  virtual ~CredentialProvider() = default;
  virtual Task<Credentials> get(Deadline deadline) = 0;
  // The store did not take these (expired, unknown key): the next get() fetches anew, unless somebody did meanwhile.
  virtual void refused(const Credentials& credentials) = 0;
};

std::unique_ptr<CredentialFetcher> make_credential_fetcher(const CredentialSource& source, CredentialContext context);
std::unique_ptr<CredentialProvider> make_credential_provider(std::unique_ptr<CredentialFetcher> fetcher, Clock& clock);

// The fetchers behind it, each in a file of its own.
std::unique_ptr<CredentialFetcher> make_environment_fetcher(CredentialContext context);
std::unique_ptr<CredentialFetcher> make_file_fetcher(CredentialContext context, std::string path, std::string profile);
std::unique_ptr<CredentialFetcher> make_profile_fetcher(CredentialContext context, std::string profile);
std::unique_ptr<CredentialFetcher> make_web_identity_fetcher(CredentialContext context);
std::unique_ptr<CredentialFetcher> make_container_fetcher(CredentialContext context);
std::unique_ptr<CredentialFetcher> make_instance_fetcher(CredentialContext context);

}  // namespace hearth::s3
