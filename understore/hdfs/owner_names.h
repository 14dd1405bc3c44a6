// Owners and groups of HDFS are names. Here they are the numbers that this host's user database (NSS: files, SSSD, LDAP)
// gives those names, and back.
//
// Threads: any; looking up runs in the pool, and what was found is kept for a minute.
// Waits:   as long as the user database does: its own time-outs bound it.
#pragma once

#include "common/async.h"
#include "common/blocking.h"
#include "common/clock.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth::hdfs {

class OwnerNames {
 public:
  // Where a number is fixed, names are not asked for. `other_uid` and `other_gid` stand for names that this host does not know.
  struct Options {
    std::optional<std::uint32_t> fixed_uid;
    std::optional<std::uint32_t> fixed_gid;
    std::uint32_t other_uid = 0;
    std::uint32_t other_gid = 0;
  };
  OwnerNames(BlockingPool& pool, Clock& clock, Options options) : pool_(pool), clock_(clock), options_(options) {}

  using UserAndGroup = std::pair<std::string, std::string>;
  // After it uid() and gid() know these. overloaded: the pool is full.
  Task<> learn(std::vector<UserAndGroup> names);
  std::uint32_t uid(const std::string& user) const;
  std::uint32_t gid(const std::string& group) const;

  // "" where this host has no name for the number, or numbers are fixed.
  Task<std::string> user_of(std::uint32_t uid);
  Task<std::string> group_of(std::uint32_t gid);

 private:
  struct Known {
    std::optional<std::uint32_t> number;  // nothing: this host does not know the name
    TimePoint heard{};
  };
  using Names = std::map<std::string, Known, std::less<>>;
  bool is_due(const Names& names, const std::string& name) const;

  // Set once
  BlockingPool& pool_;
  Clock& clock_;
  const Options options_;

  mutable std::mutex mutex_;
  Names users_;   // Guarded by mutex_
  Names groups_;  // Guarded by mutex_
};

}  // namespace hearth::hdfs
