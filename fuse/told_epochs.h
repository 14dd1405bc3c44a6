// Whether anything in a directory was told to have changed since an answer about it was asked for: then the kernel must not
// keep that answer.
//
// Threads: any. Directories share 256 places by their hash: what changed in another may count, never the other way round.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace hearth {

class ToldEpochs {
 public:
  struct Moment {
    std::size_t place = 0;
    std::uint64_t epoch = 0;
  };
  // Of the directory of `path`.
  Moment now(std::string_view path) const {
    const std::size_t place = place_of(path);
    return Moment{.place = place, .epoch = epochs_[place].load(std::memory_order_acquire)};
  }
  bool told_since(Moment moment) const { return epochs_[moment.place].load(std::memory_order_acquire) != moment.epoch; }

  void told(std::string_view path) { epochs_[place_of(path)].fetch_add(1, std::memory_order_acq_rel); }
  void told_all() {
    for (auto& epoch : epochs_) epoch.fetch_add(1, std::memory_order_acq_rel);
  }

 private:
  static constexpr std::size_t places = 256;
  static std::size_t place_of(std::string_view path) {
    const std::size_t slash = path.rfind('/');
    return std::hash<std::string_view>{}(path.substr(0, slash == std::string_view::npos ? 0 : slash)) % places;
  }
  std::array<std::atomic<std::uint64_t>, places> epochs_{};
};

}  // namespace hearth
