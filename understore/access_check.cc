#include "understore/access_check.h"

#include "common/fd.h"
#include "understore/access_probe.h"
#include "understore/store_path.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>

namespace hearth {
namespace {

constexpr int connect_timeout_ms = 5000;
constexpr std::size_t max_directories = 20;  // looked into for a file to read

struct HostPort {
  std::string host;
  std::string port;
};

HostPort host_of(const std::string& endpoint) {
  const auto begin = endpoint.find("://") + 3;
  const std::string authority = endpoint.substr(begin, endpoint.find('/', begin) - begin);
  const auto bracket = authority.rfind(']');
  const auto colon = authority.rfind(':');
  const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  std::string host = has_port ? authority.substr(0, colon) : authority;
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  return {.host = host, .port = has_port ? authority.substr(colon + 1) : (endpoint.starts_with("https://") ? "443" : "80")};
}

using Addresses = std::shared_ptr<addrinfo>;

std::string text_of(const addrinfo& address) {
  char host[NI_MAXHOST] = "";
  ::getnameinfo(address.ai_addr, address.ai_addrlen, host, sizeof host, nullptr, 0, NI_NUMERICHOST);
  return host;
}

Result<Addresses> resolve(const HostPort& at, const std::string& option) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(at.host.c_str(), at.port.c_str(), &hints, &found);
  if (failed != 0) return Error(Code::unavailable, "the name " + at.host + " is not resolved (" + ::gai_strerror(failed) + "); check the option " + option + " and this host's DNS");
  return Addresses(found, &::freeaddrinfo);
}

Result<std::string> connect_to(const Addresses& addresses, const HostPort& at, const std::string& option) {
  std::string why;
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    const int fd = ::socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) continue;
    int error = ::connect(fd, each->ai_addr, each->ai_addrlen) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
      pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
      socklen_t size = sizeof error;
      if (::poll(&ready, 1, connect_timeout_ms) == 0) error = ETIMEDOUT;
      else ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    ::close(fd);
    const std::string address = text_of(*each) + ", port " + at.port;
    if (error == 0) return address;
    why += (why.empty() ? "" : "; ") + address + ": " + std::strerror(error);
  }
  return Error(Code::unavailable, "nobody answers at " + at.host + " (" + why + "); check the option " + option + ", firewalls and proxies");
}

// Collects the steps; each says whether to go on.
class Steps {
 public:
  explicit Steps(Clock& clock) : clock_(clock), began_(clock.now()) {}
  bool add(std::string name, Status outcome, std::string detail) {
    const TimePoint now = clock_.now();
    steps_.push_back({.name = std::move(name), .outcome = std::move(outcome), .detail = std::move(detail), .took = now - began_});
    began_ = now;
    return steps_.back().outcome.has_value();
  }
  template <class T>
  bool add(std::string name, const Result<T>& result, std::string detail) {
    return add(std::move(name), result ? ok() : Status(result.error()), std::move(detail));
  }
  std::vector<AccessStep> take() { return std::move(steps_); }

 private:
  Clock& clock_;
  TimePoint began_;
  std::vector<AccessStep> steps_;
};

// One of several outcomes is enough; what the others said is part of the detail, or of the failure.
class AnyOf {
 public:
  void good(const std::string& what) { good_ += (good_.empty() ? "" : "; ") + what; }
  void bad(const Error& error) {
    code_ = error.code();
    bad_ += (bad_.empty() ? "" : "; ") + error.message();
  }
  bool report(Steps& steps, const std::string& step) const {
    if (good_.empty()) return steps.add(step, Status(Error(code_, bad_)), "");
    return steps.add(step, ok(), good_ + (bad_.empty() ? "" : "; but " + bad_));
  }

 private:
  std::string good_;
  std::string bad_;
  Code code_ = Code::unavailable;
};

Task<bool> check_way(AccessProbe* probe, StoreContext context, std::shared_ptr<Steps> steps, Deadline deadline) {
  const std::string endpoint = probe->endpoint();
  const std::string option(probe->endpoint_option());
  std::vector<std::pair<HostPort, Addresses>> resolved;
  AnyOf names;
  for (const std::string& origin : probe->dialled()) {
    const HostPort at = host_of(origin);
    std::function<Result<Addresses>()> ask = [at, option] { return resolve(at, option); };
    const auto addresses = co_await context.pool.run(std::move(ask));
    if (!addresses) names.bad(addresses.error());
    if (!addresses) continue;
    names.good(at.host + " is " + text_of(**addresses));
    resolved.emplace_back(at, *addresses);
  }
  if (!names.report(*steps, "resolve")) co_return false;
  AnyOf connections;
  for (const auto& [at, addresses] : resolved) {
    std::function<Result<std::string>()> dial = [addresses = addresses, at = at, option] { return connect_to(addresses, at, option); };
    const auto connected = co_await context.pool.run(std::move(dial));
    if (connected) connections.good(*connected); else connections.bad(connected.error());
  }
  if (!connections.report(*steps, "connect")) co_return false;
  const auto greeted = co_await probe->greet(deadline);
  const bool tls = endpoint.starts_with("https://");
  if (!steps->add(tls ? "tls" : "http", greeted, endpoint)) co_return false;
  const auto credentials = co_await probe->find_credentials(deadline);
  co_return steps->add("credentials", credentials, credentials ? *credentials : "");
}

// The first file with a byte in it, breadth first; "" when none was met.
Task<std::string> find_file(std::shared_ptr<UnderStore> store, std::shared_ptr<Steps> steps, Deadline deadline) {
  std::deque<std::string> directories{""};
  for (std::size_t looked = 0; looked < max_directories && !directories.empty(); ++looked) {
    const std::string directory = directories.front();
    directories.pop_front();
    auto listing = co_await store->list(directory, deadline);
    if (!listing) {
      steps->add("list", listing, "");
      co_return std::move(listing).error();
    }
    const std::shared_ptr<Listing> held = std::move(*listing);
    auto entries = co_await held->next(100, deadline);
    if (!entries || looked == 0) steps->add("list", entries, entries ? std::to_string(entries->size()) + (entries->size() == 100 ? " or more" : "") + " entries in the root" : "");
    if (!entries) co_return std::move(entries).error();
    for (const ObjectInfo& entry : *entries) {
      const std::string path = directory.empty() ? entry.name : directory + "/" + entry.name;
      if (entry.type == FileType::regular && entry.length_bytes > 0) co_return path;
      if (entry.type == FileType::directory) directories.push_back(path);
    }
  }
  co_return std::string();
}

Task<> read_one_byte(std::shared_ptr<UnderStore> store, std::string path, Deadline deadline) {
  CO_TRY(info, co_await store->stat(path, deadline));
  auto byte = std::make_shared<std::byte>();
  const std::span<std::byte> into(byte.get(), 1);
  co_return co_await store->read(path, info.version, 0, into, deadline);
}

}  // namespace

Task<std::vector<AccessStep>> check_store_access(std::string uri, StoreOptions options, StoreContext context, Deadline deadline) {
  const auto steps = std::make_shared<Steps>(context.clock);
  const auto opened = open_bare_store(uri, std::move(options), context);
  if (!steps->add("options", opened, opened ? std::string((*opened)->uri()) : "")) co_return steps->take();
  const std::shared_ptr<UnderStore> store = *opened;
  if (auto* probe = dynamic_cast<AccessProbe*>(store.get())) {
    const auto open_way = co_await check_way(probe, context, steps, deadline);
    if (!open_way || !*open_way) co_return steps->take();
  }
  const auto root = co_await store->stat("", deadline);
  // A wrong secret, bucket or region shows here first.
  if (!steps->add("access", root, root ? "the root answers" : "")) co_return steps->take();
  const auto file = co_await find_file(store, steps, deadline);
  if (!file) co_return steps->take();
  if (file->empty()) {
    steps->add("read", ok(), "no file with a byte in it was met; nothing to read");
    co_return steps->take();
  }
  const auto read = co_await read_one_byte(store, *file, deadline);
  steps->add("read", read, printable_path(*file));
  co_return steps->take();
}

}  // namespace hearth
