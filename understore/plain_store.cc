#include "understore/plain_store.h"

#include "understore/store_path.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace hearth {
namespace {

constexpr std::uint32_t permission_bits = 07777;

Error root_stays() {
  return Error(Code::invalid_argument, "the root of an attachment can not be made, moved or removed").with_error_number(EBUSY);
}
Error is_not_directory(std::string_view path) { return Error(Code::not_directory, printable_path(path) + " is not a directory"); }
Error is_directory(std::string_view path) { return Error(Code::is_directory, printable_path(path) + " is a directory"); }
Error exists(std::string_view path) { return Error(Code::already_exists, printable_path(path) + " exists already"); }

// A refusal may be repeated only where nothing was done; nobody knows that of a call of several steps.
Error perhaps_in_part(Error error) {
  if (info(error.code()).retry != Retry::later) return error;
  return Error(Code::unavailable, error.message() + " (perhaps done in part)");
}

void add(ChangeResult& result, std::string path, std::optional<ObjectInfo> now) {
  result.touched.push_back(Touched{.path = std::move(path), .now = std::move(now)});
}

}  // namespace

Error PlainStore::keeps_no(std::string_view path, std::string_view what) const {
  return Error(Code::permission_denied, printable_path(path) + ": " + std::string(kind()) + " keeps no " + std::string(what))
      .with_error_number(EPERM);
}

Task<> PlainStore::keep_directory(std::string, Deadline) { co_return ok(); }

Task<ObjectInfo> PlainStore::directory_after(std::string path, Deadline deadline) {
  co_return co_await stat(std::move(path), deadline);
}

Task<> PlainStore::rename_to_new(std::string from, std::string to, Deadline deadline) {
  co_return co_await rename(std::move(from), std::move(to), deadline);
}

Task<ObjectInfo> PlainStore::keep_attributes(SetAttributes, ObjectInfo now, Deadline) { co_return std::move(now); }

Task<ObjectInfo> PlainStore::keep_what_it_may(SetAttributes set, ObjectInfo now, Deadline deadline) {
  auto kept = co_await keep_attributes(std::move(set), now, deadline);
  if (!kept && kept.code() == Code::permission_denied) co_return std::move(now);
  co_return std::move(kept);
}

Task<ChangeResult> PlainStore::change(Change change, Caller caller, Deadline deadline) {
  return std::visit([&](auto& one) { return carry_out(std::move(one), std::move(caller), deadline); }, change);
}

Task<ObjectInfo> PlainStore::existing(std::string path, Deadline deadline) {
  auto found = co_await stat(path, deadline);
  if (found || found.code() != Code::not_found) co_return std::move(found);
  for (std::string above = split_store_path(path).parent; !above.empty(); above = split_store_path(above).parent) {
    auto standing = co_await stat(above, deadline);
    if (!standing && standing.code() == Code::not_found) continue;
    if (!standing) co_return std::move(standing).error();
    if (standing->type != FileType::directory) co_return is_not_directory(above);
    break;
  }
  co_return std::move(found);
}

Task<> PlainStore::check_place(std::string path, Deadline deadline) {
  CO_CHECK_OK(check_store_path(path));
  if (path.empty()) co_return root_stays();
  const std::string parent = split_store_path(path).parent;
  CO_TRY(above, co_await existing(parent, deadline));
  if (above.type != FileType::directory) co_return is_not_directory(parent);
  co_return ok();
}

Task<> PlainStore::check_empty(std::string path, Deadline deadline) {
  CO_TRY(listing, co_await list(path, deadline));
  CO_TRY(entries, co_await listing->next(1, deadline));
  if (!entries.empty()) co_return Error(Code::not_empty, printable_path(path) + " is not empty");
  co_return ok();
}

// What can not be looked at is left out: it is neither there nor gone.
Task<> PlainStore::look_at_directory_of(std::string path, ChangeResult* result, Deadline deadline) {
  std::string parent = split_store_path(path).parent;
  const bool known = std::any_of(result->touched.begin(), result->touched.end(), [&](const Touched& one) { return one.path == parent; });
  if (known) co_return ok();
  auto now = co_await directory_after(parent, deadline);
  if (now) add(*result, std::move(parent), std::move(*now));
  co_return ok();
}

Task<ChangeResult> PlainStore::without(std::string path, ObjectInfo before, Deadline deadline) {
  ChangeResult result;
  result.version_before = std::move(before.version);
  add(result, path, std::nullopt);
  CO_CHECK_OK(co_await look_at_directory_of(std::move(path), &result, deadline));
  co_return std::move(result);
}

Task<ChangeResult> PlainStore::carry_out(MakeDirectory make, Caller caller, Deadline deadline) {
  CO_CHECK_OK(co_await check_place(make.path, deadline));
  CO_TRY(directory, co_await make_directory(make.path, make.mode & permission_bits & ~caller.umask, deadline));
  SetAttributes owner;
  owner.path = make.path;
  owner.uid = caller.uid;
  owner.gid = caller.gid;
  CO_TRY(made, co_await keep_what_it_may(std::move(owner), std::move(directory), deadline));
  ChangeResult result;
  add(result, make.path, std::move(made));
  CO_CHECK_OK(co_await look_at_directory_of(std::move(make.path), &result, deadline));
  co_return std::move(result);
}

// A regular file is an empty object.
Task<ChangeResult> PlainStore::carry_out(MakeNode make, Caller caller, Deadline deadline) {
  const std::uint32_t type = make.mode & S_IFMT;
  if (type != 0 && type != S_IFREG) co_return keeps_no(make.path, "FIFOs, sockets and devices");
  CO_CHECK_OK(co_await check_place(make.path, deadline));
  StagedContent nothing;
  nothing.replaces = StagedContent::Replaces::nothing;
  CO_TRY(made, co_await upload(make.path, nothing, deadline));
  SetAttributes attributes;
  attributes.path = make.path;
  attributes.mode = make.mode & permission_bits & ~caller.umask;
  CO_TRY(with_mode, co_await keep_attributes(std::move(attributes), std::move(made), deadline));
  SetAttributes owner;
  owner.path = make.path;
  owner.uid = caller.uid;
  owner.gid = caller.gid;
  CO_TRY(now, co_await keep_what_it_may(std::move(owner), std::move(with_mode), deadline));
  ChangeResult result;
  add(result, make.path, std::move(now));
  CO_CHECK_OK(co_await look_at_directory_of(std::move(make.path), &result, deadline));
  co_return std::move(result);
}

Task<ChangeResult> PlainStore::carry_out(MakeSymlink make, Caller, Deadline) { co_return keeps_no(make.path, "symlinks"); }

Task<ChangeResult> PlainStore::carry_out(MakeLink make, Caller, Deadline) { co_return keeps_no(make.path, "hard links"); }

Task<ChangeResult> PlainStore::carry_out(RemoveFile remove, Caller, Deadline deadline) {
  if (remove.path.empty()) co_return root_stays();
  CO_TRY(before, co_await existing(remove.path, deadline));
  if (before.type == FileType::directory) co_return is_directory(remove.path);
  CO_CHECK_OK(co_await keep_directory(split_store_path(remove.path).parent, deadline));
  CO_CHECK_OK(co_await this->remove(remove.path, deadline));
  co_return co_await without(std::move(remove.path), std::move(before), deadline);
}

Task<ChangeResult> PlainStore::carry_out(RemoveDirectory remove, Caller, Deadline deadline) {
  if (remove.path.empty()) co_return root_stays();
  CO_TRY(before, co_await existing(remove.path, deadline));
  if (before.type != FileType::directory) co_return is_not_directory(remove.path);
  CO_CHECK_OK(co_await check_empty(remove.path, deadline));
  CO_CHECK_OK(co_await keep_directory(split_store_path(remove.path).parent, deadline));
  CO_CHECK_OK(co_await this->remove(remove.path, deadline));
  co_return co_await without(std::move(remove.path), std::move(before), deadline);
}

Task<std::optional<ObjectInfo>> PlainStore::check_target(Rename rename, ObjectInfo source, Deadline deadline) {
  CO_CHECK_OK(co_await check_place(rename.to, deadline));
  auto target = co_await stat(rename.to, deadline);
  if (!target && target.code() == Code::not_found) co_return std::optional<ObjectInfo>();
  if (!target) co_return std::move(target).error();
  if (rename.target == Rename::Target::must_be_absent) co_return exists(rename.to);
  const bool onto_directory = target->type == FileType::directory;
  const bool of_directory = source.type == FileType::directory;
  if (onto_directory && !of_directory) co_return is_directory(rename.to);
  if (!onto_directory && of_directory) co_return is_not_directory(rename.to);
  if (onto_directory && rename.from != rename.to) CO_CHECK_OK(co_await check_empty(rename.to, deadline));
  co_return std::optional<ObjectInfo>(std::move(*target));
}

Task<PlainStore::CheckedRename> PlainStore::check_rename(Rename rename, Deadline deadline) {
  if (rename.from.empty() || rename.to.empty()) co_return root_stays();
  if (rename.target == Rename::Target::exchange) {
    co_return Error(Code::invalid_argument, printable_path(rename.from) + ": " + std::string(kind()) + " can not exchange two names");
  }
  CO_CHECK_OK(check_store_path(rename.to));
  CO_TRY(source, co_await existing(rename.from, deadline));
  if (source.type == FileType::directory && rename.to.starts_with(rename.from + "/")) {
    co_return Error(Code::invalid_argument, "a directory can not be moved into itself: " + printable_path(rename.to));
  }
  CO_TRY(target, co_await check_target(rename, source, deadline));
  if (rename.from != rename.to) CO_CHECK_OK(co_await keep_directory(split_store_path(rename.from).parent, deadline));
  CheckedRename checked;
  checked.source = std::move(source);
  checked.target = std::move(target);
  co_return checked;
}

Task<ChangeResult> PlainStore::carry_out(Rename rename, Caller, Deadline deadline) {
  CO_TRY(checked, co_await check_rename(rename, deadline));
  ObjectInfo source = std::move(checked.source);
  const bool of_directory = source.type == FileType::directory;
  ChangeResult result;
  result.version_before = source.version;
  if (rename.from == rename.to) {
    add(result, rename.to, std::move(source));
    CO_CHECK_OK(co_await look_at_directory_of(std::move(rename.to), &result, deadline));
    co_return std::move(result);
  }
  const bool only_new = rename.target == Rename::Target::must_be_absent;
  Status renamed;
  if (only_new) {
    renamed = co_await rename_to_new(rename.from, rename.to, deadline);
  } else {
    renamed = co_await this->rename(rename.from, rename.to, deadline);
  }
  const bool repeatable = !of_directory && !only_new;
  if (!renamed && repeatable) co_return renamed.error();
  if (!renamed) co_return perhaps_in_part(renamed.error());
  add(result, rename.from, std::nullopt);
  auto now = co_await stat(rename.to, deadline);
  if (now) add(result, rename.to, std::move(*now));
  CO_CHECK_OK(co_await look_at_directory_of(std::move(rename.from), &result, deadline));
  CO_CHECK_OK(co_await look_at_directory_of(std::move(rename.to), &result, deadline));
  co_return std::move(result);
}

Task<ChangeResult> PlainStore::carry_out(SetAttributes set, Caller, Deadline deadline) {
  CO_TRY(before, co_await existing(set.path, deadline));
  ChangeResult result;
  result.version_before = before.version;
  std::string path = set.path;
  CO_TRY(now, co_await keep_attributes(std::move(set), std::move(before), deadline));
  add(result, std::move(path), std::move(now));
  co_return std::move(result);
}

Task<ChangeResult> PlainStore::carry_out(SetXattr set, Caller, Deadline) {
  co_return Error(Code::unsupported, printable_path(set.path) + ": " + std::string(kind()) + " keeps no extended attributes").with_error_number(ENOTSUP);
}

Task<ChangeResult> PlainStore::carry_out(RemoveXattr remove, Caller, Deadline) {
  co_return Error(Code::unsupported, printable_path(remove.path) + ": " + std::string(kind()) + " keeps no extended attributes").with_error_number(ENOTSUP);
}

// What a change did is on the store's disks when it answers.
Task<ChangeResult> PlainStore::carry_out(SyncDirectory sync, Caller, Deadline deadline) {
  CO_TRY(now, co_await existing(sync.path, deadline));
  if (now.type != FileType::directory) co_return is_not_directory(sync.path);
  ChangeResult result;
  result.version_before = now.version;
  add(result, std::move(sync.path), std::move(now));
  co_return std::move(result);
}

Task<ChangeResult> PlainStore::carry_out(LookAgain look, Caller, Deadline deadline) {
  ChangeResult result;
  auto now = co_await stat(look.path, deadline);
  if (!now && now.code() != Code::not_found) co_return std::move(now).error();
  const bool there = now.has_value();
  add(result, look.path, there ? std::optional<ObjectInfo>(std::move(*now)) : std::nullopt);
  if (there && !look.path.empty()) CO_CHECK_OK(co_await look_at_directory_of(std::move(look.path), &result, deadline));
  co_return std::move(result);
}

}  // namespace hearth
