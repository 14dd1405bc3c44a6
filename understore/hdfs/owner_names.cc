#include "understore/hdfs/owner_names.h"

#include <grp.h>
#include <pwd.h>

#include <cerrno>
#include <functional>
#include <set>

namespace hearth::hdfs {
namespace {

constexpr Duration kept_for = std::chrono::minutes(1);
constexpr std::size_t most_kept = 10'000;  // a tree of more owners than that asks again
constexpr std::size_t first_buffer = 4096;
constexpr std::size_t largest_buffer = 4U << 20;  // groups list their members

// `ask` is one of getpwnam_r(3) and its like.
template <class Entry, class Ask, class Take>
auto look_up(const Ask& ask, const Take& take) -> std::optional<decltype(take(std::declval<const Entry&>()))> {
  for (std::vector<char> buffer(first_buffer); buffer.size() <= largest_buffer; buffer.resize(buffer.size() * 4)) {
    Entry entry{};
    Entry* found = nullptr;
    const int failed = ask(&entry, buffer.data(), buffer.size(), &found);
    if (failed == ERANGE) continue;
    if (found == nullptr) return std::nullopt;
    return take(*found);
  }
  return std::nullopt;
}

std::optional<std::uint32_t> uid_named(const std::string& name) {
  return look_up<passwd>([&](auto... rest) { return ::getpwnam_r(name.c_str(), rest...); },
                         [](const passwd& entry) -> std::uint32_t { return entry.pw_uid; });
}
std::optional<std::uint32_t> gid_named(const std::string& name) {
  return look_up<group>([&](auto... rest) { return ::getgrnam_r(name.c_str(), rest...); },
                        [](const group& entry) -> std::uint32_t { return entry.gr_gid; });
}
std::optional<std::string> name_of_user(std::uint32_t uid) {
  return look_up<passwd>([&](auto... rest) { return ::getpwuid_r(uid, rest...); },
                         [](const passwd& entry) { return std::string(entry.pw_name); });
}
std::optional<std::string> name_of_group(std::uint32_t gid) {
  return look_up<group>([&](auto... rest) { return ::getgrgid_r(gid, rest...); },
                        [](const group& entry) { return std::string(entry.gr_name); });
}

}  // namespace

bool OwnerNames::is_due(const Names& names, const std::string& name) const {
  const auto known = names.find(name);
  return known == names.end() || clock_.now() - known->second.heard >= kept_for;
}

Task<> OwnerNames::learn(std::vector<UserAndGroup> names) {
  std::set<std::string> users;
  std::set<std::string> groups;
  {
    const std::lock_guard lock(mutex_);
    for (auto& [user, group] : names) {
      if (!options_.fixed_uid && is_due(users_, user)) users.insert(std::move(user));
      if (!options_.fixed_gid && is_due(groups_, group)) groups.insert(std::move(group));
    }
  }
  if (users.empty() && groups.empty()) co_return ok();
  std::function<Result<bool>()> ask = [this, &users, &groups]() -> Result<bool> {
    Names found_users;
    Names found_groups;
    for (const std::string& name : users) found_users[name] = {.number = uid_named(name), .heard = clock_.now()};
    for (const std::string& name : groups) found_groups[name] = {.number = gid_named(name), .heard = clock_.now()};
    const std::lock_guard lock(mutex_);
    if (users_.size() + groups_.size() > most_kept) {
      users_.clear();
      groups_.clear();
    }
    for (auto& [name, known] : found_users) users_[name] = known;
    for (auto& [name, known] : found_groups) groups_[name] = known;
    return true;
  };
  CO_CHECK_OK(co_await pool_.run<bool>(std::move(ask)));
  co_return ok();
}

std::uint32_t OwnerNames::uid(const std::string& user) const {
  if (options_.fixed_uid) return *options_.fixed_uid;
  const std::lock_guard lock(mutex_);
  const auto known = users_.find(user);
  return known == users_.end() ? options_.other_uid : known->second.number.value_or(options_.other_uid);
}

std::uint32_t OwnerNames::gid(const std::string& group) const {
  if (options_.fixed_gid) return *options_.fixed_gid;
  const std::lock_guard lock(mutex_);
  const auto known = groups_.find(group);
  return known == groups_.end() ? options_.other_gid : known->second.number.value_or(options_.other_gid);
}

Task<std::string> OwnerNames::user_of(std::uint32_t uid) {
  if (options_.fixed_uid) co_return std::string();
  std::function<Result<std::string>()> ask = [uid]() -> Result<std::string> { return name_of_user(uid).value_or(""); };
  co_return co_await pool_.run<std::string>(std::move(ask));
}

Task<std::string> OwnerNames::group_of(std::uint32_t gid) {
  if (options_.fixed_gid) co_return std::string();
  std::function<Result<std::string>()> ask = [gid]() -> Result<std::string> { return name_of_group(gid).value_or(""); };
  co_return co_await pool_.run<std::string>(std::move(ask));
}

}  // namespace hearth::hdfs
