// Changes of stores that know names and whole objects, but no owners, links or special files: POSIX's meaning and errno,
// over the simple calls of UnderStore (stat, list, make_directory, remove, rename, upload).
//
// Threads: any, as UnderStore.
// Not:     atomic. What is looked at first may be changed by others before the change is made; the master makes one change
//          of a name at a time, so "others" are those beside Hearth.
// Fails:   as POSIX, with its errno; `unavailable` also when a rename was done in part: it is not to be repeated blindly.
#pragma once

#include "understore/under_store.h"

#include <optional>
#include <string>
#include <string_view>

namespace hearth {

class PlainStore : public UnderStore {
 public:
  Task<ChangeResult> change(Change change, Caller caller, Deadline deadline) final;

 protected:
  // For messages: "a bucket" keeps no symlinks.
  virtual std::string_view kind() const = 0;
  // Called before a name leaves `directory`, which stays a directory even if that was all that made it one.
  virtual Task<> keep_directory(std::string directory, Deadline deadline);
  // A directory that is there, after one of its names was changed.
  virtual Task<ObjectInfo> directory_after(std::string path, Deadline deadline);
  // As rename(), to a name that nothing had a moment ago. By default that look is all that protects what others make there.
  virtual Task<> rename_to_new(std::string from, std::string to, Deadline deadline);
  // Sets what the store keeps of `set`; the state afterwards. By default it keeps nothing, so that is `now`.
  virtual Task<ObjectInfo> keep_attributes(SetAttributes set, ObjectInfo now, Deadline deadline);
  // All that is asked before a rename is made, and what keeps the directory above one.
  struct CheckedRename {
    ObjectInfo source;
    std::optional<ObjectInfo> target;  // what gives way
  };
  Task<CheckedRename> check_rename(Rename rename, Deadline deadline);

 private:
  Task<ChangeResult> carry_out(MakeDirectory make, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(MakeNode make, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(MakeSymlink make, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(MakeLink make, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(RemoveFile remove, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(RemoveDirectory remove, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(Rename rename, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(SetAttributes set, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(SetXattr set, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(RemoveXattr remove, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(SyncDirectory sync, Caller caller, Deadline deadline);
  Task<ChangeResult> carry_out(LookAgain look, Caller caller, Deadline deadline);

  // stat, but not_directory where a file stands on the way.
  Task<ObjectInfo> existing(std::string path, Deadline deadline);
  // What was just made is its maker's, where the store lets us give it away.
  Task<ObjectInfo> keep_what_it_may(SetAttributes set, ObjectInfo now, Deadline deadline);
  // Is the place of a new name a directory?
  Task<> check_place(std::string path, Deadline deadline);
  // Nothing stands there, or what may give way to `source`.
  Task<std::optional<ObjectInfo>> check_target(Rename rename, ObjectInfo source, Deadline deadline);
  Task<> check_empty(std::string path, Deadline deadline);
  // `path` is gone from its directory.
  Task<ChangeResult> without(std::string path, ObjectInfo before, Deadline deadline);
  Task<> look_at_directory_of(std::string path, ChangeResult* result, Deadline deadline);
  Error keeps_no(std::string_view path, std::string_view what) const;
};

}  // namespace hearth
