#include "fuse/draft_source.h"

#include "common/change_wire.h"
#include "common/clock.h"
#include "common/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <variant>

namespace hearth {
namespace {

// Beside the numbers that the master gives.
constexpr std::uint64_t draft_inode = 1ULL << 62;

std::string below(const std::string& directory) { return directory == "/" ? directory : directory + "/"; }

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

Error exists(const std::string& path) { return Error(Code::already_exists, path + " exists").with_error_number(EEXIST); }

// The staged copy carries the attributes; whoever publishes it takes them from there.
Status give_attributes(int fd, const FileStatus& status, const std::string& path) {
  constexpr std::int64_t second_ns = 1'000'000'000;
  const timespec mtime{status.mtime_ns / second_ns, status.mtime_ns % second_ns};
  const timespec times[2] = {{0, UTIME_OMIT}, mtime};
  struct stat now {};
  if (::fstat(fd, &now) != 0) return system_call_failed(path, "stat");
  const bool is_others = now.st_uid != status.uid || now.st_gid != status.gid;
  if (is_others && ::fchown(fd, status.uid, status.gid) != 0) return system_call_failed(path, "chown");
  if (::fchmod(fd, status.mode & 07777) != 0) return system_call_failed(path, "chmod");
  if (::futimens(fd, times) != 0) return system_call_failed(path, "utimens");
  return ok();
}

}  // namespace

// ---- drafts

std::optional<FileStatus> DraftSource::Drafts::find(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const auto found = by_path_.find(path);
  return found == by_path_.end() ? std::nullopt : std::optional(found->second);
}

bool DraftSource::Drafts::put(const std::string& path, FileStatus status) {
  const std::lock_guard lock(mutex_);
  return by_path_.emplace(path, std::move(status)).second;
}

void DraftSource::Drafts::erase(const std::string& path) {
  const std::lock_guard lock(mutex_);
  by_path_.erase(path);
}

void DraftSource::Drafts::erase(std::uint64_t inode) {
  const std::lock_guard lock(mutex_);
  std::erase_if(by_path_, [inode](const auto& draft) { return draft.second.inode == inode; });
}

void DraftSource::Drafts::move_below(const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  const std::string prefix = below(from);
  std::vector<std::string> paths;
  for (auto draft = by_path_.lower_bound(prefix); draft != by_path_.end() && draft->first.starts_with(prefix); ++draft) {
    paths.push_back(draft->first);
  }
  for (const std::string& path : paths) {
    auto node = by_path_.extract(path);
    node.key() = below(to) + path.substr(prefix.size());
    by_path_.insert(std::move(node));
  }
}

bool DraftSource::Drafts::any_below(const std::string& directory) const {
  const std::lock_guard lock(mutex_);
  const std::string prefix = below(directory);
  const auto first = by_path_.lower_bound(prefix);
  return first != by_path_.end() && first->first.starts_with(prefix);
}

std::map<std::string, FileStatus> DraftSource::Drafts::in(const std::string& directory, const std::string& after,
                                                          const std::string& last) const {
  const std::lock_guard lock(mutex_);
  const std::string prefix = below(directory);
  std::map<std::string, FileStatus> out;
  for (auto draft = by_path_.lower_bound(prefix); draft != by_path_.end() && draft->first.starts_with(prefix); ++draft) {
    std::string name = draft->first.substr(prefix.size());
    const bool is_here = name.find('/') == std::string::npos && name > after && (last.empty() || name <= last);
    if (is_here) out.emplace(std::move(name), draft->second);
  }
  return out;
}

std::uint64_t DraftSource::Drafts::next_inode() {
  const std::lock_guard lock(mutex_);
  return draft_inode | ++made_;
}

// ---- the source

Result<FileStatus> DraftSource::stat(const std::string& path) {
  if (auto draft = drafts_->find(path)) return std::move(*draft);
  return store_->stat(path);
}

Result<DirectoryPage> DraftSource::list(const std::string& path, const std::string& after, std::size_t limit) {
  TRY(page, store_->list(path, after, limit));
  const std::string last = page.more && !page.items.empty() ? page.items.back().name : std::string();
  std::map<std::string, FileStatus> drafts = drafts_->in(path, after, last);
  if (drafts.empty()) return page;
  // A draft hides what somebody else made in the store under its name.
  for (DirectoryItem& item : page.items) drafts.emplace(std::move(item.name), std::move(item.status));
  page.items.clear();
  for (auto& [name, status] : drafts) page.items.push_back({.name = name, .status = std::move(status)});
  return page;
}

Result<FileStatus> DraftSource::draft_of(const OpenForWriting& how, const Caller& caller) {
  TRY(parent, stat(parent_of(how.path)));
  FileStatus status;
  status.inode = drafts_->next_inode();
  status.mode = how.mode & 07777 & ~caller.umask;
  status.uid = caller.uid;
  status.gid = (parent.mode & S_ISGID) != 0 ? parent.gid : caller.gid;
  status.mtime_ns = real_clock().wall_now().time_since_epoch().count();
  status.ctime_ns = status.mtime_ns;
  status.version = "draft-" + std::to_string(status.inode - draft_inode);
  status.attachment = parent.attachment;
  status.writable = true;
  status.ttl = parent.ttl;
  return status;
}

Result<OpenedInPlace> DraftSource::open_in_place(const OpenForWriting& how, const Caller& caller) {
  const std::optional<FileStatus> draft = drafts_->find(how.path);
  if (draft && how.create && how.exclusive) return exists(how.path);
  TRY(opened, store_->open_in_place(how, caller));
  if (!opened.publish) return opened;
  TRY(status, draft           ? Result<FileStatus>(*draft)
              : opened.is_new ? draft_of(how, caller)
                              : store_->stat(how.path));
  CHECK_OK(give_attributes(opened.fd.get(), status, how.path));
  if (!opened.is_new) return opened;
  opened.version = status.version;
  const std::uint64_t inode = status.inode;
  opened.is_new = !draft && drafts_->put(how.path, std::move(status));
  if (!opened.is_new) return opened;
  // The draft ends with the last copy of the function that could publish it.
  const std::shared_ptr<const void> until_dropped(nullptr, [drafts = drafts_, inode](const void*) { drafts->erase(inode); });
  opened.publish = [inner = std::move(opened.publish), drafts = drafts_, inode,
                    until_dropped](const std::string& path) -> Result<FileStatus> {
    TRY(published, inner(path));
    drafts->erase(inode);
    return published;
  };
  return opened;
}

Result<Changed> DraftSource::rename(const Rename& rename, const Caller& caller) {
  if (drafts_->find(rename.from)) return Error(Code::busy, rename.from + " is to be published before it is renamed");
  if (rename.target == Rename::Target::must_be_absent && drafts_->find(rename.to)) return exists(rename.to);
  TRY(changed, store_->change(rename, caller));
  drafts_->erase(rename.to);
  drafts_->move_below(rename.from, rename.to);
  return changed;
}

Result<Changed> DraftSource::change(const Change& change, const Caller& caller) {
  if (const auto* moved = std::get_if<Rename>(&change)) return rename(*moved, caller);
  const std::string& path = path_of(change);
  auto draft = drafts_->find(path);
  if (std::holds_alternative<RemoveDirectory>(change) && drafts_->any_below(path)) {
    return Error(Code::not_empty, path + " is not empty").with_error_number(ENOTEMPTY);
  }
  if (!draft) return store_->change(change, caller);
  const std::string version = draft->version;
  if (std::holds_alternative<LookAgain>(change)) return Changed{.status = std::move(*draft), .version_before = version};
  if (std::holds_alternative<RemoveFile>(change)) {
    // Somebody else may have made one in the store meanwhile.
    const auto removed = store_->change(change, caller);
    if (!removed && removed.code() != Code::not_found) return removed.error();
    drafts_->erase(path);
    return Changed{.status = std::nullopt, .version_before = version};
  }
  if (makes_a_name(change)) return exists(path);
  return store_->change(change, caller);
}

}  // namespace hearth
