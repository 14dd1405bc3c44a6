#include "master/lock_sessions.h"

#include "common/fd.h"
#include "common/file_io.h"
#include "common/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace hearth::master {

Status LockSessions::open(std::uint64_t id, std::string host, TimePoint now) {
  if (sessions_.size() >= max_sessions) {
    return Error(Code::overloaded, "the master keeps locks for " + std::to_string(max_sessions) + " clients at once");
  }
  sessions_[id] = Session{.host = std::move(host), .heard = now};
  return ok();
}

LockSessions::Standing LockSessions::heard(std::uint64_t id, TimePoint now) {
  const auto session = sessions_.find(id);
  if (session != sessions_.end()) {
    session->second.heard = now;
    return Standing::alive;
  }
  return before_.contains(id) ? Standing::may_reclaim : Standing::ended;
}

Status LockSessions::reclaim(std::uint64_t id, std::string host, const std::vector<FileLock>& locks, TimePoint now) {
  if (before_.erase(id) == 0) return Error(Code::stale, "this session has nothing to reclaim");
  for (const FileLock& lock : locks) {
    if (has_room(id) && table_.lock(id, lock) == LockTable::Answer::granted) continue;
    table_.drop_session(id);
    return Error(Code::stale, "what this session had is in the way of what another one had");
  }
  return open(id, std::move(host), now);
}

void LockSessions::close(std::uint64_t id) {
  before_.erase(id);
  if (sessions_.erase(id) != 0) table_.drop_session(id);
}

std::vector<std::uint64_t> LockSessions::expire(TimePoint now) {
  std::vector<std::uint64_t> ended;
  for (const auto& [id, session] : sessions_) {
    if (now - session.heard >= lease_) ended.push_back(id);
  }
  for (const std::uint64_t id : ended) close(id);
  if (now - started_ >= lease_) {
    ended.insert(ended.end(), before_.begin(), before_.end());
    before_.clear();
  }
  return ended;
}

std::uint32_t LockSessions::pid_for(std::uint64_t asking, const LockTable::Held& held) const {
  const auto asks = sessions_.find(asking);
  const auto holds = sessions_.find(held.session);
  if (asks == sessions_.end() || holds == sessions_.end()) return 0;
  return asks->second.host == holds->second.host ? held.lock.pid : 0;
}

std::set<std::uint64_t> LockSessions::ids() const {
  std::set<std::uint64_t> all = before_;
  for (const auto& [id, session] : sessions_) all.insert(id);
  return all;
}

Status write_lock_sessions(const std::string& path, const std::set<std::uint64_t>& ids) {
  std::string text;
  for (const std::uint64_t id : ids) {
    char line[24];
    std::snprintf(line, sizeof line, "%016llx\n", static_cast<unsigned long long>(id));
    text += line;
  }
  const std::string fresh = path + ".new";
  const UniqueFd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) return system_call_failed(fresh, "open");
  CHECK_OK(write_at(file.get(), std::as_bytes(std::span(text)), 0, fresh));
  if (::fdatasync(file.get()) != 0) return system_call_failed(fresh, "sync");
  if (::rename(fresh.c_str(), path.c_str()) != 0) return system_call_failed(fresh, "rename");
  const std::string above = std::filesystem::path(path).parent_path();
  const UniqueFd directory(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) return system_call_failed(above, "sync");
  return ok();
}

std::set<std::uint64_t> read_lock_sessions(const std::string& path) {
  std::set<std::uint64_t> ids;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::uint64_t id = 0;
    const auto [end, failed] = std::from_chars(line.data(), line.data() + line.size(), id, 16);
    if (failed == std::errc() && end == line.data() + line.size() && id != 0) {
      ids.insert(id);
    } else {
      log_warn("lock_session_not_readable", {{"file", path}, {"line", line}});
    }
  }
  return ids;
}

}  // namespace hearth::master
