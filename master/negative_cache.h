// Paths of which an under-store said that they do not exist, for as long as that may be believed.
//
// Threads: confined to the namespace thread. In memory only, at most `capacity` entries; the oldest go first.
#pragma once

#include "master/records.h"

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

namespace hearth::master {

class NegativeCache {
 public:
  explicit NegativeCache(std::size_t capacity) : capacity_(capacity) {}

  void put(AttachmentId attachment, const std::string& store_path, Moment asked) {
    std::string key = key_of(attachment, store_path);
    if (entries_.insert_or_assign(key, asked).second) order_.push_back(std::move(key));
    while (order_.size() > capacity_) {
      entries_.erase(order_.front());
      order_.pop_front();
    }
  }
  // When the store was asked.
  std::optional<Moment> find(AttachmentId attachment, const std::string& store_path) const {
    const auto found = entries_.find(key_of(attachment, store_path));
    if (found == entries_.end()) return std::nullopt;
    return found->second;
  }
  // It exists after all. (Its place in the order stays; an old place only makes a later entry leave early.)
  void erase(AttachmentId attachment, const std::string& store_path) {
    const auto found = entries_.find(key_of(attachment, store_path));
    if (found != entries_.end()) found->second = Moment();
  }
  std::size_t size() const { return entries_.size(); }

 private:
  static std::string key_of(AttachmentId attachment, const std::string& store_path) {
    return std::to_string(attachment.value) + ":" + store_path;
  }
  std::size_t capacity_;
  std::unordered_map<std::string, Moment> entries_;
  std::deque<std::string> order_;
};

}  // namespace hearth::master
