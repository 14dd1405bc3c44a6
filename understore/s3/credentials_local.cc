// Credentials that lie on this machine: environment, file, shared profile.
#include "understore/s3/credentials.h"
#include "understore/s3/shared_config.h"
#include "understore/store_path.h"

#include "common/fd.h"
#include "common/log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace hearth::s3 {
namespace {

constexpr std::size_t max_file_bytes = 1U << 20;

// The text of a small file; the caller wipes it.
Result<std::string> read_secret_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) {
    return Error(errno == ENOENT || errno == ENOTDIR ? Code::not_found : code_from_errno(errno),
                 "the credentials file " + printable_path(path) + " can not be opened: " + std::strerror(errno));
  }
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0004) != 0) {
    log_warn("s3_credentials_file_readable_by_all", {{"path", path}, {"advice", "chmod 600"}});
  }
  std::string text(max_file_bytes, '\0');
  std::size_t have = 0;
  ssize_t got = 0;
  while (have < text.size() && (got = ::read(fd, text.data() + have, text.size() - have)) > 0) have += static_cast<std::size_t>(got);
  const int failed = got < 0 ? errno : 0;
  ::close(fd);
  if (failed != 0 || have == text.size()) {
    wipe(text);
    return Error(failed != 0 ? code_from_errno(failed) : Code::invalid_argument,
                 "the credentials file " + printable_path(path) + (failed != 0 ? std::string(" can not be read: ") + std::strerror(failed) : " is 1 MiB or longer"));
  }
  text.resize(have);
  return text;
}

Result<Credentials> credentials_of(ConfigSection& section, const std::string& where) {
  Credentials credentials{.access_key_id = section["aws_access_key_id"],
                          .secret_access_key = Secret(section["aws_secret_access_key"]),
                          .session_token = Secret(section["aws_session_token"]),
                          .source = where};
  wipe(section["aws_secret_access_key"]);
  wipe(section["aws_session_token"]);
  if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
    return Error(Code::not_found, where + " has no aws_access_key_id and aws_secret_access_key");
  }
  if (credentials.access_key_id.find_first_of("/, \r\n\t") != std::string::npos) {
    return Error(Code::invalid_argument, where + " has an aws_access_key_id with characters that no key id has");
  }
  return credentials;
}

Result<Credentials> read_credentials_file(const std::string& path, const std::string& profile) {
  TRY(text, read_secret_file(path));
  const std::string where = "the credentials file " + printable_path(path) + " (profile " + profile + ")";
  auto section = read_config_section(text, profile);
  wipe(text);
  if (!section) return Error(section.code(), where + ": " + section.error().message());
  return credentials_of(*section, where);
}

class EnvironmentFetcher final : public CredentialFetcher {
 public:
  explicit EnvironmentFetcher(Environment environment) : environment_(std::move(environment)) {}
  Task<Credentials> fetch(Deadline) override {
    Credentials credentials{.access_key_id = environment_("AWS_ACCESS_KEY_ID").value_or(""), .source = "the environment"};
    std::string secret = environment_("AWS_SECRET_ACCESS_KEY").value_or("");
    std::string token = environment_("AWS_SESSION_TOKEN").value_or("");
    credentials.secret_access_key = Secret(secret);
    credentials.session_token = Secret(token);
    wipe(secret);
    wipe(token);
    if (credentials.access_key_id.empty() || credentials.secret_access_key.empty()) {
      co_return Error(Code::not_found, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set in the environment of this process");
    }
    co_return credentials;
  }

 private:
  Environment environment_;
};

// Read anew by each fetch: a rotated file is taken up when the old key is refused.
class FileFetcher final : public CredentialFetcher {
 public:
  FileFetcher(CredentialContext context, std::string path, std::string profile)
      : context_(std::move(context)), path_(std::move(path)), profile_(std::move(profile)) {}
  Task<Credentials> fetch(Deadline) override {
    std::function<Result<Credentials>()> read = [this] { return read_credentials_file(path_, profile_); };
    co_return co_await context_.pool.run(std::move(read));
  }

 private:
  CredentialContext context_;
  std::string path_;
  std::string profile_;
};

// The credentials file first, then the config file, as the tools of AWS do.
class ProfileFetcher final : public CredentialFetcher {
 public:
  ProfileFetcher(CredentialContext context, std::string profile) : context_(std::move(context)), profile_(std::move(profile)) {
    const std::string home = context_.environment("HOME").value_or("/root") + "/.aws/";
    paths_ = {context_.environment("AWS_SHARED_CREDENTIALS_FILE").value_or(home + "credentials"),
              context_.environment("AWS_CONFIG_FILE").value_or(home + "config")};
  }
  Task<Credentials> fetch(Deadline) override {
    std::function<Result<Credentials>()> read = [this] { return read_all(); };
    co_return co_await context_.pool.run(std::move(read));
  }

 private:
  Result<Credentials> read_all() const {
    for (const std::string& path : paths_) {
      auto credentials = read_credentials_file(path, profile_);
      if (credentials || credentials.code() != Code::not_found) return credentials;
    }
    return Error(Code::not_found, "neither " + printable_path(paths_[0]) + " nor " + printable_path(paths_[1]) + " has keys for the profile " + profile_);
  }

  CredentialContext context_;
  std::string profile_;
  std::vector<std::string> paths_;
};

}  // namespace

std::unique_ptr<CredentialFetcher> make_environment_fetcher(CredentialContext context) {
  return std::make_unique<EnvironmentFetcher>(std::move(context.environment));
}
std::unique_ptr<CredentialFetcher> make_file_fetcher(CredentialContext context, std::string path, std::string profile) {
  return std::make_unique<FileFetcher>(std::move(context), std::move(path), std::move(profile));
}
std::unique_ptr<CredentialFetcher> make_profile_fetcher(CredentialContext context, std::string profile) {
  return std::make_unique<ProfileFetcher>(std::move(context), std::move(profile));
}

}  // namespace hearth::s3
