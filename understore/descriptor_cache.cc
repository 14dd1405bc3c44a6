#include "understore/descriptor_cache.h"

namespace hearth {
namespace {

std::string key_of(std::string_view path, std::string_view version) {
  std::string key(path);
  key.push_back('\0');  // in no path
  key += version;
  return key;
}

}  // namespace

DescriptorCache::Descriptor DescriptorCache::find(std::string_view path, std::string_view version, TimePoint now) {
  Entries closing;
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key_of(path, version));
  Descriptor descriptor;
  if (found != by_key_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    entries_.front().last_used = now;
    descriptor = entries_.front().descriptor;
  }
  trim(now, closing);
  return descriptor;
}

void DescriptorCache::insert(std::string_view path, std::string_view version, Descriptor descriptor, TimePoint now) {
  Entries closing;
  const std::lock_guard lock(mutex_);
  std::string key = key_of(path, version);
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    closing.splice(closing.end(), entries_, found->second);
    by_key_.erase(found);
  }
  entries_.push_front(Entry{.key = key, .descriptor = std::move(descriptor), .last_used = now});
  by_key_.emplace(std::move(key), entries_.begin());
  trim(now, closing);
}

void DescriptorCache::erase(std::string_view path, std::string_view version) {
  Entries closing;
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key_of(path, version));
  if (found == by_key_.end()) return;
  closing.splice(closing.end(), entries_, found->second);
  by_key_.erase(found);
}

std::size_t DescriptorCache::size() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

void DescriptorCache::trim(TimePoint now, Entries& closing) {
  while (!entries_.empty() && (entries_.size() > capacity_ || now - entries_.back().last_used > idle_limit)) {
    by_key_.erase(entries_.back().key);
    closing.splice(closing.end(), entries_, std::prev(entries_.end()));
  }
}

}  // namespace hearth
