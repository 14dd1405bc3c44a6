// A Source that knows the names of files that were made in this mount and are not published yet: their store takes objects
// whole (S3, HDFS), so it has nothing of them before the first close or fsync. In this mount they are listed, found, moved and
// removed like all others; nobody else sees them.
//
// Threads: any; one mutex, held for map operations only.
// Owns:    the Source below it. A draft lives as long as the function that publishes it, or until it is published.
// Fails:   as the Source below; what POSIX says of names that exist (already_exists, is_directory, not_empty) carries its errno.
#pragma once

#include "fuse/source.h"

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace hearth {

class DraftSource final : public Source {
 public:
  explicit DraftSource(std::unique_ptr<Source> store) : store_(std::move(store)), drafts_(std::make_shared<Drafts>()) {}

  Result<FileStatus> stat(const std::string& path) override;
  Result<DirectoryPage> list(const std::string& path, const std::string& after, std::size_t limit) override;
  Result<std::shared_ptr<SourceFile>> open(const std::string& path) override { return store_->open(path); }
  void forget(const std::string& path) override { store_->forget(path); }
  Result<std::string> locations(const std::string& path) override { return store_->locations(path); }
  Result<Capacity> capacity(const std::string& path) override { return store_->capacity(path); }
  Result<std::vector<std::string>> store_uris() override { return store_->store_uris(); }
  Result<Changed> change(const Change& change, const Caller& caller) override;
  Result<OpenedInPlace> open_in_place(const OpenForWriting& how, const Caller& caller) override;
  Result<std::string> xattr(const std::string& path, const std::string& name, const Caller& caller) override {
    return store_->xattr(path, name, caller);
  }
  Result<std::vector<std::string>> xattr_names(const std::string& path, const Caller& caller) override {
    return store_->xattr_names(path, caller);
  }
  std::shared_ptr<LockSession> locks() override { return store_->locks(); }
  void on_changes(ChangeHook hook) override { store_->on_changes(std::move(hook)); }
  std::size_t changes_under_way() const override { return store_->changes_under_way(); }

 private:
  // Shared: the functions that publish may outlive the source.
  class Drafts {
   public:
    std::optional<FileStatus> find(const std::string& path) const;
    // False: there is one already.
    bool put(const std::string& path, FileStatus status);
    void erase(const std::string& path);
    void erase(std::uint64_t inode);  // whatever its name is now
    void move_below(const std::string& from, const std::string& to);
    bool any_below(const std::string& directory) const;
    // Those directly in `directory` with after < name, and name <= last unless it is "".
    std::map<std::string, FileStatus> in(const std::string& directory, const std::string& after, const std::string& last) const;
    std::uint64_t next_inode();

   private:
    mutable std::mutex mutex_;
    // Guarded by mutex_
    std::map<std::string, FileStatus> by_path_;
    std::uint64_t made_ = 0;
  };

  Result<FileStatus> draft_of(const OpenForWriting& how, const Caller& caller);
  Result<Changed> rename(const Rename& rename, const Caller& caller);

  const std::unique_ptr<Source> store_;
  const std::shared_ptr<Drafts> drafts_;
};

}  // namespace hearth
