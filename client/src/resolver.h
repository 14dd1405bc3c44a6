// Metadata by path: asked of the master, answered from here for as long as the master allowed.
//
// Threads: cached*() and forget() from any; everything else is confined to the io thread.
// Waits:   until `deadline`, repeating while the master can not be asked (it may be restarting).
// Fresh:   an answer counts from when it was asked for, so nobody sees a change later than its ttl. An answer of
//          "not found" carries no ttl and is never cached here.
// Fails:   what the master said; symlink_loop; invalid_argument for links that leave the namespace.
#pragma once

#include "client/src/convert.h"
#include "client/src/master_link.h"
#include "client/src/peers.h"
#include "client/src/signal.h"
#include "client/src/ttl_cache.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace hearth::client {

enum class Revalidate : std::uint8_t { no, yes };

class Resolver {
 public:
  Resolver(const ClientOptions& options, const Clock& clock, Executor executor, std::shared_ptr<MasterLink> master,
           Peers& peers);

  ResolutionPtr cached(std::string_view path);
  std::optional<FileStatus> cached_status(std::string_view path);
  void forget(std::string_view path);  // all when empty
  void forget_below(std::string_view directory);

  // Of exactly this path; symlinks are answered as such.
  Task<ResolutionPtr> resolve(std::string path, Deadline deadline);
  // Of the file that `path` leads to, over at most 40 symlinks, also in directory components.
  Task<ResolutionPtr> follow(std::string path, Deadline deadline);
  Task<FileStatus> stat(std::string path, Revalidate revalidate, Deadline deadline);
  // As resolve() and stat() of each, in their order, without what is cached; each message within metadata_deadline.
  Task<std::vector<Result<ResolutionPtr>>> resolve_many(std::vector<std::string> paths);
  Task<std::vector<Result<FileStatus>>> stat_many(std::vector<std::string> paths);
  Task<DirectoryPage> list(std::string path, std::string after, std::uint32_t limit, Deadline deadline);

 private:
  struct Flight {
    std::shared_ptr<Signal> landed = std::make_shared<Signal>();
    TimePoint asked{};
    std::uint64_t generation = 0;
    Result<ResolutionPtr> result;
  };

  Task<ResolutionPtr> ask(std::string path, TimePoint asked, Deadline deadline);
  Task<std::string> through_links(std::string path, Deadline deadline);
  Result<ResolutionPtr> keep(const std::string& path, const proto::ResolveReply& reply, TimePoint asked, std::uint64_t generation);
  void remember(std::string_view path, const FileStatus& status, TimePoint asked, std::uint64_t generation);

  const Clock& clock_;
  Executor executor_;
  std::shared_ptr<MasterLink> master_;
  Peers& peers_;
  const std::string tenant_;
  const bool for_opening_;
  const Duration metadata_deadline_;

  // Io thread only
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_;  // shared: every waiter reads the result

  TtlCache<ResolutionPtr> resolutions_;
  TtlCache<FileStatus> statuses_;
  std::atomic<std::uint64_t> generation_{0};  // an answer asked for before forget() is not kept
};

}  // namespace hearth::client
