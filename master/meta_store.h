// Ordered rows on stable storage, as the namespace needs them: four families of bytes by bytes.
//
// Threads: one thread reads and writes (the namespace thread); sync() may run on another at the same time.
// Owns:    the rows. A write is all or nothing, also across kill -9; it survives power loss once a sync()
//          that began after it has ended.
// Fails:   io_error, corrupt, no_space. A failed read is never reported as an absent row.
#pragma once

#include <hearth/result.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::master {

enum class Family : std::uint8_t { meta, inode, entry, attachment };
inline constexpr std::size_t family_count = 4;

struct WriteBatch {
  struct Change {
    Family family;
    std::string key;
    std::optional<std::string> value;  // absent: the row goes
  };
  std::vector<Change> changes;

  void put(Family family, std::string key, std::string value) {
    changes.push_back(Change{family, std::move(key), std::move(value)});
  }
  void erase(Family family, std::string key) { changes.push_back(Change{family, std::move(key), std::nullopt}); }
  bool empty() const { return changes.empty(); }
};

using Row = std::pair<std::string, std::string>;

class MetaStore {
 public:
  virtual ~MetaStore() = default;
  virtual Result<std::optional<std::string>> get(Family family, std::string_view key) = 0;
  // One answer per key, in the order of the keys.
  virtual Result<std::vector<std::optional<std::string>>> get_many(Family family,
                                                                   const std::vector<std::string>& keys) = 0;
  // At most `limit` rows whose key begins with `prefix` and is greater than `after` ("" = from the first), in byte order.
  virtual Result<std::vector<Row>> scan(Family family, std::string_view prefix, std::string_view after,
                                        std::size_t limit) = 0;
  virtual Status write(const WriteBatch& batch) = 0;
  virtual Status sync() = 0;
  virtual std::uint64_t approximate_count(Family family) = 0;
};

}  // namespace hearth::master
