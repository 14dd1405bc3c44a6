#include "tiering/eviction/shards.h"

#include "tiering/eviction/hashing.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace hearth::eviction {

Shards::Shards(std::uint32_t max_samples)
    : max_samples_(max_samples),
      samples_(max_samples + 1),
      table_(std::bit_ceil(std::size_t{max_samples} * 2), none),
      by_time_(std::size_t{max_samples} * 2 + 2, none),
      tree_(by_time_.size() + 1) {
  heap_.reserve(max_samples + 1);
  free_.reserve(max_samples + 1);
  for (std::uint32_t sample = max_samples + 1; sample > 0; --sample) free_.push_back(sample - 1);
}

double Shards::sampling_rate() const { return static_cast<double>(threshold_) / 0x1p32; }

std::size_t Shards::memory_bytes() const {
  return samples_.capacity() * sizeof(Sample) + tree_.capacity() * sizeof(std::uint64_t) + curve_.memory_bytes() +
         (free_.capacity() + heap_.capacity() + table_.capacity() + by_time_.capacity()) * sizeof(std::uint32_t);
}

void Shards::access(std::uint64_t fingerprint, std::uint32_t bytes) {
  ++accesses_;
  access_bytes_ += bytes;
  const std::uint64_t hash = mix(fingerprint);
  if (hash >> 32 >= threshold_) return;
  const double weight = 0x1p32 / static_cast<double>(threshold_);
  if (const std::uint32_t* const found = find(hash)) {
    Sample& sample = samples_[*found];
    // All that was read since, and the page itself, at the sampled scale.
    const std::uint64_t since = live_bytes_ - bytes_up_to(sample.time) + sample.bytes;
    curve_.add_hit(static_cast<std::uint64_t>(static_cast<double>(since) * weight), weight, bytes);
    add_to_tree(sample.time, 0 - std::uint64_t{sample.bytes});
    by_time_[sample.time] = none;
    live_bytes_ = live_bytes_ - sample.bytes + bytes;
    sample.bytes = bytes;
    set_time(*found);
    return;
  }
  curve_.add_miss(weight, bytes);
  insert(hash, bytes);
  if (used_ > max_samples_) drop_largest();
}

MissRatioCurve Shards::curve() const {
  MissRatioCurve adjusted = curve_;
  const double missing = accesses_ - curve_.requests();
  const double mean_bytes = accesses_ > 0 ? access_bytes_ / accesses_ : 0;
  if (missing != 0) adjusted.add_hit(1, missing, mean_bytes);
  return adjusted;
}

void Shards::scale(double factor) {
  curve_.scale(factor);
  accesses_ *= factor;
  access_bytes_ *= factor;
}

// ---- the sample: a table by hash, and a heap with the largest hash on top -------------------

std::size_t Shards::home(std::uint64_t hash) const { return hash & (table_.size() - 1); }

std::uint32_t* Shards::find(std::uint64_t hash) {
  for (std::size_t at = home(hash); table_[at] != none; at = (at + 1) & (table_.size() - 1)) {
    if (samples_[table_[at]].hash == hash) return &table_[at];
  }
  return nullptr;
}

void Shards::insert(std::uint64_t hash, std::uint32_t bytes) {
  const std::uint32_t sample = free_.back();
  free_.pop_back();
  samples_[sample] = Sample{.hash = hash, .bytes = bytes};
  std::size_t at = home(hash);
  while (table_[at] != none) at = (at + 1) & (table_.size() - 1);
  table_[at] = sample;
  heap_.push_back(sample);
  std::push_heap(heap_.begin(), heap_.end(), [this](auto a, auto b) { return samples_[a].hash < samples_[b].hash; });
  ++used_;
  live_bytes_ += bytes;
  set_time(sample);
}

void Shards::drop_largest() {
  std::pop_heap(heap_.begin(), heap_.end(), [this](auto a, auto b) { return samples_[a].hash < samples_[b].hash; });
  const std::uint32_t sample = heap_.back();
  heap_.pop_back();
  const Sample& gone = samples_[sample];
  // Others with the same upper half stay until they are the largest; then the threshold is theirs.
  threshold_ = std::max<std::uint64_t>(1, gone.hash >> 32);
  add_to_tree(gone.time, 0 - std::uint64_t{gone.bytes});
  by_time_[gone.time] = none;
  live_bytes_ -= gone.bytes;
  erase_from_table(gone.hash);
  free_.push_back(sample);
  --used_;
}

// Linear probing without tombstones: later entries of the run move up.
void Shards::erase_from_table(std::uint64_t hash) {
  const std::size_t mask = table_.size() - 1;
  std::size_t hole = static_cast<std::size_t>(find(hash) - table_.data());
  for (std::size_t at = (hole + 1) & mask; table_[at] != none; at = (at + 1) & mask) {
    const std::size_t wanted = home(samples_[table_[at]].hash);
    if (((at - wanted) & mask) >= ((at - hole) & mask)) {
      table_[hole] = table_[at];
      hole = at;
    }
  }
  table_[hole] = none;
}

// ---- time ----------------------------------------------------------------------------------

// The page is the youngest from now on.
void Shards::set_time(std::uint32_t sample) {
  if (now_ == by_time_.size()) compact();
  samples_[sample].time = now_;
  by_time_[now_] = sample;
  add_to_tree(now_, samples_[sample].bytes);
  ++now_;
}

// Half of the positions are empty by now: the order stays, the gaps go.
void Shards::compact() {
  std::uint32_t next = 0;
  for (std::uint32_t time = 0; time < by_time_.size(); ++time) {
    const std::uint32_t sample = by_time_[time];
    by_time_[time] = none;
    if (sample == none) continue;
    samples_[sample].time = next;
    by_time_[next++] = sample;
  }
  assert(next < by_time_.size());
  std::fill(tree_.begin(), tree_.end(), 0);
  for (std::uint32_t time = 0; time < next; ++time) tree_[time + 1] = samples_[by_time_[time]].bytes;
  for (std::size_t i = 1; i < tree_.size(); ++i) {
    const std::size_t parent = i + (i & (0 - i));
    if (parent < tree_.size()) tree_[parent] += tree_[i];
  }
  now_ = next;
}

void Shards::add_to_tree(std::uint32_t time, std::uint64_t bytes) {
  for (std::size_t i = std::size_t{time} + 1; i < tree_.size(); i += i & (0 - i)) tree_[i] += bytes;
}

std::uint64_t Shards::bytes_up_to(std::uint32_t time) const {
  std::uint64_t sum = 0;
  for (std::size_t i = std::size_t{time} + 1; i > 0; i -= i & (0 - i)) sum += tree_[i];
  return sum;
}

}  // namespace hearth::eviction
