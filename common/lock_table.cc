#include "common/lock_table.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace hearth {
namespace {

bool overlap(const LockRange& one, const LockRange& other) { return one.first <= other.last && other.first <= one.last; }

bool owned(const LockTable::Held& held, std::uint64_t session, const FileLock& lock) {
  return held.session == session && held.lock.owner == lock.owner && held.lock.space == lock.space;
}

bool in_the_way(const LockTable::Held& held, std::uint64_t session, const FileLock& wanted) {
  if (held.lock.space != wanted.space || !overlap(held.lock.range, wanted.range)) return false;
  if (held.lock.mode == LockMode::shared && wanted.mode == LockMode::shared) return false;
  return !owned(held, session, wanted);
}

}  // namespace

std::optional<LockTable::Held> LockTable::conflict(std::uint64_t session, const FileLock& wanted) const {
  const auto object = objects_.find(wanted.object);
  if (object == objects_.end()) return std::nullopt;
  for (const Held& held : object->second.held) {
    if (in_the_way(held, session, wanted)) return held;
  }
  return std::nullopt;
}

bool LockTable::holds(std::uint64_t session, const FileLock& which) const {
  const auto object = objects_.find(which.object);
  if (object == objects_.end()) return false;
  return std::any_of(object->second.held.begin(), object->second.held.end(), [&](const Held& held) {
    return owned(held, session, which) && overlap(held.lock.range, which.range);
  });
}

void LockTable::add(Object& object, Held held) {
  const auto place = std::upper_bound(object.held.begin(), object.held.end(), held.lock.range.first,
                                      [](std::uint64_t first, const Held& other) { return first < other.lock.range.first; });
  ++counts_[held.session];
  ++size_;
  object.held.insert(place, std::move(held));
}

void LockTable::cut(Object& object, std::uint64_t session, const FileLock& which) {
  std::vector<Held> rest;
  const auto gone = std::remove_if(object.held.begin(), object.held.end(), [&](const Held& held) {
    if (!owned(held, session, which) || !overlap(held.lock.range, which.range)) return false;
    const LockRange& range = held.lock.range;
    if (range.first < which.range.first) {
      rest.push_back(held);
      rest.back().lock.range.last = which.range.first - 1;
    }
    if (range.last > which.range.last) {
      rest.push_back(held);
      rest.back().lock.range.first = which.range.last + 1;
    }
    return true;
  });
  const auto count = static_cast<std::size_t>(std::distance(gone, object.held.end()));
  object.held.erase(gone, object.held.end());
  size_ -= count;
  if (count != 0 && (counts_[session] -= count) == 0) counts_.erase(session);
  for (Held& held : rest) add(object, std::move(held));
}

void LockTable::set(Object& object, std::uint64_t session, const FileLock& wanted) {
  cut(object, session, wanted);
  Held held{.session = session, .lock = wanted};
  // Neighbours of the same mode become one with it.
  const auto touches = [&](const Held& other) {
    if (!owned(other, session, wanted) || other.lock.mode != wanted.mode) return false;
    const LockRange& range = other.lock.range;
    return (range.last != UINT64_MAX && range.last + 1 == wanted.range.first) ||
           (wanted.range.last != UINT64_MAX && wanted.range.last + 1 == range.first);
  };
  for (const Held& other : object.held) {
    if (!touches(other)) continue;
    held.lock.range.first = std::min(held.lock.range.first, other.lock.range.first);
    held.lock.range.last = std::max(held.lock.range.last, other.lock.range.last);
  }
  cut(object, session, held.lock);
  add(object, std::move(held));
}

LockTable::Answer LockTable::lock(std::uint64_t session, const FileLock& wanted) {
  Object& object = objects_[wanted.object];
  const bool free = !conflict(session, wanted);
  const bool changes_mode = wanted.space == LockSpace::whole_file && !free;
  if (free) set(object, session, wanted);
  if (changes_mode) cut(object, session, wanted);
  grant_waiting(object);  // a lock for all may have become one for some, or none
  drop_if_empty(wanted.object);
  return free ? Answer::granted : Answer::in_the_way;
}

LockTable::Answer LockTable::lock_or_wait(LockTicket ticket, const FileLock& wanted) {
  if (waits(ticket)) return Answer::waits;
  if (lock(ticket.session, wanted) == Answer::granted) return Answer::granted;
  // What was given up a moment ago may be what others waited for.
  if (wanted.space == LockSpace::ranges && would_deadlock(ticket.session, wanted)) return Answer::deadlock;
  objects_[wanted.object].queue.push_back({ticket, wanted});
  waiting_.emplace(ticket, wanted.object);
  ++counts_[ticket.session];
  return Answer::waits;
}

bool LockTable::cancel(LockTicket ticket) {
  const auto waiting = waiting_.find(ticket);
  if (waiting == waiting_.end()) return false;
  const std::string name = std::move(waiting->second);
  waiting_.erase(waiting);
  std::erase_if(objects_[name].queue, [ticket](const Waiting& one) { return one.ticket == ticket; });
  if (--counts_[ticket.session] == 0) counts_.erase(ticket.session);
  drop_if_empty(name);
  return true;
}

void LockTable::unlock(std::uint64_t session, const FileLock& which) {
  const auto object = objects_.find(which.object);
  if (object == objects_.end()) return;
  cut(object->second, session, which);
  grant_waiting(object->second);
  drop_if_empty(which.object);
}

void LockTable::grant_waiting(Object& object) {
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < object.queue.size(); ++i) {
      const Waiting& first = object.queue[i];
      if (conflict(first.ticket.session, first.wanted)) continue;
      const Waiting granted = first;
      object.queue.erase(object.queue.begin() + static_cast<std::ptrdiff_t>(i));
      waiting_.erase(granted.ticket);
      granted_.push_back(granted.ticket);
      set(object, granted.ticket.session, granted.wanted);
      --counts_[granted.ticket.session];
      changed = true;  // it may have given up something: from the front again
      break;
    }
  }
}

void LockTable::drop_session(std::uint64_t session) {
  std::vector<std::string> names;
  for (auto& [name, object] : objects_) {
    std::erase_if(object.queue, [session](const Waiting& one) { return one.ticket.session == session; });
    size_ -= std::erase_if(object.held, [session](const Held& held) { return held.session == session; });
    names.push_back(name);
  }
  std::erase_if(waiting_, [session](const auto& one) { return one.first.session == session; });
  counts_.erase(session);
  for (const std::string& name : names) {
    grant_waiting(objects_.at(name));
    drop_if_empty(name);
  }
}

void LockTable::drop_if_empty(const std::string& name) {
  const auto object = objects_.find(name);
  if (object != objects_.end() && object->second.held.empty() && object->second.queue.empty()) objects_.erase(object);
}

std::vector<FileLock> LockTable::locks_of(std::uint64_t session) const {
  std::vector<FileLock> all;
  for (const auto& [name, object] : objects_) {
    for (const Held& held : object.held) {
      if (held.session == session) all.push_back(held.lock);
    }
  }
  return all;
}

std::size_t LockTable::count(std::uint64_t session) const {
  const auto found = counts_.find(session);
  return found == counts_.end() ? 0 : found->second;
}

std::size_t LockTable::size() const { return size_; }

// From the one who asks to those who hold what it wants, from those who wait to the holders of what they want, and so on.
bool LockTable::would_deadlock(std::uint64_t session, const FileLock& wanted) const {
  using Owner = std::pair<std::uint64_t, std::uint64_t>;
  std::set<Owner> seen;
  std::vector<Waiting> pending{{LockTicket{session, 0}, wanted}};
  while (!pending.empty()) {
    const Waiting one = std::move(pending.back());
    pending.pop_back();
    const auto object = objects_.find(one.wanted.object);
    if (object == objects_.end()) continue;
    for (const Held& held : object->second.held) {
      if (!in_the_way(held, one.ticket.session, one.wanted)) continue;
      const Owner holder{held.session, held.lock.owner};
      if (holder == Owner{session, wanted.owner}) return true;
      if (!seen.insert(holder).second) continue;
      for (auto waiting = waiting_.lower_bound(LockTicket{held.session, 0});
           waiting != waiting_.end() && waiting->first.session == held.session; ++waiting) {
        const auto& queue = objects_.at(waiting->second).queue;
        const auto entry = std::find_if(queue.begin(), queue.end(),
                                        [&](const Waiting& other) { return other.ticket == waiting->first; });
        if (entry->wanted.owner == held.lock.owner && entry->wanted.space == LockSpace::ranges) pending.push_back(*entry);
      }
    }
  }
  return false;
}

}  // namespace hearth
