#include "understore/s3/credentials.h"

#include "common/log.h"
#include "understore/guard/doorbell.h"
#include "understore/s3/metrics.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <vector>

namespace hearth::s3 {
namespace {

// A request signed with credentials that end while it travels fails; sources hand out new ones well before.
constexpr Duration refresh_before_expiry = std::chrono::minutes(5);
// After a failed refresh, while what is there still holds.
constexpr Duration pause_after_failure = std::chrono::seconds(10);
constexpr Duration longest_fetch = std::chrono::seconds(30);

class CachedCredentials final : public CredentialProvider {
 public:
  CachedCredentials(std::unique_ptr<CredentialFetcher> fetcher, Clock& clock) : fetcher_(std::move(fetcher)), clock_(clock) {}

  Task<Credentials> get(Deadline deadline) override;
  void refused(const Credentials& credentials) override;

 private:
  // Whoever fetches for all. Leaving without a result (cancelled) wakes the others: one of them goes on.
  class Leadership {
   public:
    explicit Leadership(CachedCredentials& owner) : owner_(owner) {}
    ~Leadership() {
      if (!published_) static_cast<void>(owner_.publish(Error(Code::cancelled, "whoever fetched the credentials was cancelled")));
    }
    Leadership(const Leadership&) = delete;
    Leadership& operator=(const Leadership&) = delete;
    Result<Credentials> publish(Result<Credentials> result) {
      published_ = true;
      return owner_.publish(std::move(result));
    }

   private:
    CachedCredentials& owner_;
    bool published_ = false;
  };
  enum class Role : std::uint8_t { served, leader, waiter };

  Role enter(const std::shared_ptr<Doorbell>& bell, Result<Credentials>& served);
  Result<Credentials> publish(Result<Credentials> result);
  bool holds(Duration margin) const {
    return current_ && (!current_->expires || *current_->expires > clock_.wall_now() + margin);
  }
  Task<bool> wait_for_leader(std::shared_ptr<Doorbell> bell, Deadline deadline);

  std::unique_ptr<CredentialFetcher> fetcher_;
  Clock& clock_;

  std::mutex mutex_;
  // Guarded by mutex_
  std::optional<Credentials> current_;
  std::optional<Error> last_error_;
  bool fetching_ = false;
  TimePoint not_before_{};
  std::vector<std::shared_ptr<Doorbell>> waiting_;
};

CachedCredentials::Role CachedCredentials::enter(const std::shared_ptr<Doorbell>& bell, Result<Credentials>& served) {
  const std::lock_guard lock(mutex_);
  const bool good_enough = holds(refresh_before_expiry) ||
                           (holds(Duration::zero()) && (fetching_ || clock_.now() < not_before_));
  if (good_enough) {
    served = *current_;
    return Role::served;
  }
  if (!fetching_) {
    fetching_ = true;
    return Role::leader;
  }
  waiting_.push_back(bell);
  return Role::waiter;
}

Result<Credentials> CachedCredentials::publish(Result<Credentials> result) {
  const std::lock_guard lock(mutex_);
  fetching_ = false;
  metrics().counter(described::credential_fetches_total, {std::string(name(result.code()))}).add();
  if (result) {
    current_ = *result;
    last_error_.reset();
  } else {
    last_error_ = result.error();
    not_before_ = clock_.now() + pause_after_failure;
    if (holds(Duration::zero())) {
      log_warn("s3_credentials_not_refreshed", {{"source", current_->source}, {"error", result.error().to_string()}});
      result = *current_;
    }
  }
  for (const auto& bell : waiting_) bell->ring();
  waiting_.clear();
  return result;
}

// True when the leader ended, false when the time was over (or the caller was cancelled).
Task<bool> CachedCredentials::wait_for_leader(std::shared_ptr<Doorbell> bell, Deadline deadline) {
  bell->ring_at(clock_, deadline.when());
  co_await Doorbell::wait(bell);
  bool left = false;
  {
    const std::lock_guard lock(mutex_);
    left = std::erase(waiting_, bell) > 0;
  }
  co_await Doorbell::silence(bell);
  co_return !left;
}

Task<Credentials> CachedCredentials::get(Deadline deadline) {
  const Executor executor = co_await asio::this_coro::executor;
  while (true) {
    auto bell = std::make_shared<Doorbell>(executor);
    Result<Credentials> served;
    const Role role = enter(bell, served);
    if (role == Role::served) co_return served;
    if (role == Role::leader) {
      Leadership leadership(*this);
      auto fetched = co_await fetcher_->fetch(deadline.sooner_of(Deadline::after(clock_, longest_fetch)));
      co_return leadership.publish(std::move(fetched));
    }
    const auto woken = co_await wait_for_leader(bell, deadline);
    if (!woken || !*woken) co_return Error(Code::deadline_exceeded, "the credentials did not come in time");
    const std::lock_guard lock(mutex_);
    // The leader's own end of time is not everybody's.
    const bool leaders_own = last_error_ && (last_error_->code() == Code::cancelled || last_error_->code() == Code::deadline_exceeded);
    if (last_error_ && !leaders_own && !holds(Duration::zero())) co_return *last_error_;
  }
}

void CachedCredentials::refused(const Credentials& credentials) {
  const std::lock_guard lock(mutex_);
  if (current_ && current_->access_key_id == credentials.access_key_id &&
      current_->secret_access_key == credentials.secret_access_key && current_->session_token == credentials.session_token) {
    current_.reset();
  }
}

// The first source that is configured decides, also when it fails: another identity by accident helps nobody.
class ChainFetcher final : public CredentialFetcher {
 public:
  explicit ChainFetcher(const CredentialContext& context) : disabled_(context.environment("AWS_EC2_METADATA_DISABLED").value_or("") == "true") {
    links_.push_back(make_environment_fetcher(context));
    links_.push_back(make_web_identity_fetcher(context));
    links_.push_back(make_profile_fetcher(context, context.environment("AWS_PROFILE").value_or("default")));
    links_.push_back(make_container_fetcher(context));
    if (!disabled_) links_.push_back(make_instance_fetcher(context));
  }
  Task<Credentials> fetch(Deadline deadline) override {
    for (const auto& link : links_) {
      auto fetched = co_await link->fetch(deadline);
      if (fetched || fetched.code() != Code::not_found) co_return fetched;
    }
    co_return Error(Code::unauthenticated,
                    "no credentials for the S3 store: the environment, web identity, the shared profile, the container and the instance "
                    "have none. Set the option credentials (for example file:/etc/hearth/s3-keys, or anonymous for a public bucket)");
  }

 private:
  bool disabled_;
  std::vector<std::unique_ptr<CredentialFetcher>> links_;
};

class AnonymousFetcher final : public CredentialFetcher {
 public:
  Task<Credentials> fetch(Deadline) override {
    Credentials none;
    none.source = "anonymous";
    co_return none;
  }
};

// A source that was named must be there: what is no error in a chain is one here.
class NamedFetcher final : public CredentialFetcher {
 public:
  NamedFetcher(std::unique_ptr<CredentialFetcher> fetcher, std::string name) : fetcher_(std::move(fetcher)), name_(std::move(name)) {}
  Task<Credentials> fetch(Deadline deadline) override {
    auto fetched = co_await fetcher_->fetch(deadline);
    if (!fetched && fetched.code() == Code::not_found) {
      co_return Error(Code::unauthenticated, "credentials=" + name_ + ": " + fetched.error().message());
    }
    co_return fetched;
  }

 private:
  std::unique_ptr<CredentialFetcher> fetcher_;
  std::string name_;
};

std::unique_ptr<CredentialFetcher> make_named(const CredentialSource& source, const CredentialContext& context) {
  using Kind = CredentialSource::Kind;
  switch (source.kind) {
    case Kind::environment: return make_environment_fetcher(context);
    case Kind::file: return make_file_fetcher(context, source.path, source.profile);
    case Kind::profile: return make_profile_fetcher(context, source.profile);
    case Kind::web_identity: return make_web_identity_fetcher(context);
    case Kind::container: return make_container_fetcher(context);
    case Kind::instance: return make_instance_fetcher(context);
    case Kind::systemd: {
      const std::string directory = context.environment("CREDENTIALS_DIRECTORY").value_or("/CREDENTIALS_DIRECTORY-is-not-set");
      return make_file_fetcher(context, directory + "/" + source.path, source.profile);
    }
    case Kind::chain:
    case Kind::anonymous: break;
  }
  return std::make_unique<AnonymousFetcher>();
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  };
}

std::unique_ptr<CredentialFetcher> make_credential_fetcher(const CredentialSource& source, CredentialContext context) {
  if (source.kind == CredentialSource::Kind::chain) return std::make_unique<ChainFetcher>(context);
  if (source.kind == CredentialSource::Kind::anonymous) return std::make_unique<AnonymousFetcher>();
  return std::make_unique<NamedFetcher>(make_named(source, context), to_string(source));
}

std::unique_ptr<CredentialProvider> make_credential_provider(std::unique_ptr<CredentialFetcher> fetcher, Clock& clock) {
  return std::make_unique<CachedCredentials>(std::move(fetcher), clock);
}

}  // namespace hearth::s3
