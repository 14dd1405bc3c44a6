// Removing trees: in batches where the master can, name by name elsewhere.
#include "client/src/client_impl.h"

#include "client/src/convert.h"
#include "common/change_wire.h"
#include "common/outcome_wire.h"
#include "proto/hearth.pb.h"

#include <utility>

namespace hearth {
namespace {

using client::MasterRetry;

constexpr std::size_t names_at_once = 256;  // held in memory for each directory on the way down
constexpr std::size_t max_failures = 100;
constexpr int times_emptied = 3;            // a directory that gets new names all the time is left
constexpr std::uint64_t names_per_report = 256;

bool lies_at_or_below(std::string_view path, std::string_view top) {
  if (top == "/") return true;
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

std::string joined(const std::string& directory, const std::string& name) { return directory == "/" ? "/" + name : directory + "/" + name; }

class TreeRemover {
 public:
  TreeRemover(const Client& client, const Caller& caller, const RemoveTreeOptions& options) : client_(client), caller_(caller), options_(options) {}

  Result<TreeRemoval> run(const std::string& top) {
    const auto status = client_.stat(top);
    if (!status && status.code() == Code::not_found) return std::move(out_);
    if (!status) return status.error();
    if (status->type != EntryType::directory) {
      remove(RemoveFile{.path = top}, top);
    } else {
      CHECK_OK(walk(top));
    }
    return std::move(out_);
  }

 private:
  // A directory on the way down.
  struct Level {
    std::string path;
    std::vector<DirectoryItem> items;
    std::size_t next = 0;
    std::string after;
    bool more = true;
    bool failed = false;  // below it
    int emptied = 0;
  };

  Status walk(const std::string& top) {
    std::vector<Level> levels;
    levels.push_back(Level{.path = top});
    while (!levels.empty()) {
      Level& level = levels.back();
      if (level.next < level.items.size()) {
        const DirectoryItem item = level.items[level.next++];
        std::string path = joined(level.path, item.name);
        if (item.status.type == EntryType::directory) {
          levels.push_back(Level{.path = std::move(path)});
        } else if (!remove(RemoveFile{.path = path}, path)) {
          level.failed = true;
        }
      } else if (level.more) {
        list(level);
      } else if (!level.failed && !leave(level)) {
        continue;  // there are new names
      } else {
        const bool failed = level.failed;
        levels.pop_back();
        if (failed && !levels.empty()) levels.back().failed = true;
      }
      CHECK_OK(report());
    }
    return ok();
  }

  void list(Level& level) {
    auto page = client_.list(level.path, level.after, names_at_once);
    level.next = 0;
    level.items.clear();
    level.more = page && page->more && !page->items.empty();
    if (page) {
      level.items = std::move(page->items);
      if (!level.items.empty()) level.after = level.items.back().name;
      return;
    }
    if (page.code() == Code::not_found) return;
    fail(level.path, page.error());
    level.failed = true;
  }

  // The directory itself, which is empty now. False: it is not, look again.
  bool leave(Level& level) {
    const auto removed = client_.change(RemoveDirectory{.path = level.path}, caller_);
    if (removed) {
      ++out_.removed;
    } else if (removed.code() == Code::not_empty && ++level.emptied < times_emptied) {
      client_.forget(level.path);
      level.after.clear();
      level.more = true;
      return false;
    } else if (removed.code() != Code::not_found) {
      fail(level.path, removed.error());
      level.failed = true;
    }
    return true;
  }

  bool remove(const Change& change, const std::string& path) {
    const auto removed = client_.change(change, caller_);
    if (removed) ++out_.removed;
    if (removed || removed.code() == Code::not_found) return true;
    fail(path, removed.error());
    return false;
  }

  void fail(const std::string& path, const Error& error) {
    ++out_.failed;
    if (out_.failures.size() < max_failures) out_.failures.push_back({.path = path, .error = error});
  }

  Status report() {
    const std::uint64_t done = out_.removed + out_.failed;
    if (!options_.progress || done < reported_ + names_per_report) return ok();
    reported_ = done;
    if (options_.progress(out_) == RemoveTreeOptions::Go::on) return ok();
    return Error(Code::cancelled, "the removal was stopped by its caller after " + std::to_string(out_.removed) + " names");
  }

  // Set once
  const Client& client_;
  const Caller& caller_;
  const RemoveTreeOptions& options_;

  TreeRemoval out_;
  std::uint64_t reported_ = 0;
};

}  // namespace

Task<ClientImpl::RemovedSome> ClientImpl::remove_some(std::string path, Caller caller) {
  proto::RemoveTreeRequest request;
  request.set_path(path);
  caller_to_wire(caller, *request.mutable_caller());
  proto::RemoveTreeReply reply;
  std::string body = request.SerializeAsString();
  // Asking twice removes no more than is to be removed.
  Status asked = co_await parts_->master->call(Method::remove_tree, std::move(body), &reply, MasterRetry::once, metadata_deadline());
  parts_->resolver.forget({});
  if (!asked) co_return std::move(asked).error();
  Status outcome = outcome_from_wire(reply.refused());
  if (!outcome) co_return std::move(outcome).error();
  RemovedSome out;
  out.removed = reply.removed();
  out.more = reply.more();
  co_return out;
}

Result<TreeRemoval> Client::remove_tree(std::string_view path, const Caller& caller, const RemoveTreeOptions& options) const {
  CHECK_OK(client::check_path(path));
  const std::string top(path);
  TRY(attached, attachments());
  for (const AttachmentStatus& one : attached) {
    if (lies_at_or_below(one.path, top)) return Error(Code::busy, one.path + " is the place of an attachment; detach it first");
  }
  forget();
  TreeRemoval out;
  for (;;) {
    auto some = impl_->wait(impl_->remove_some(top, caller));
    if (!some && some.code() == Code::unsupported) break;
    if (!some && some.code() == Code::not_found) return out;
    if (!some) return std::move(some).error();
    out.removed += some->removed;
    if (!some->more) return out;
    if (options.progress && options.progress(out) == RemoveTreeOptions::Go::stop) {
      return Error(Code::cancelled, "the removal was stopped by its caller after " + std::to_string(out.removed) + " objects");
    }
  }
  return TreeRemover(*this, caller, options).run(top);
}

}  // namespace hearth
