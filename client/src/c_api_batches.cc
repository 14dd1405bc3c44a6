// The C functions for many names and ranges at once.
#include "client/src/c_api.h"

#include <string>
#include <utility>
#include <vector>

namespace hearth::c_api {
namespace {

// What went well, counted; of the others the first gives the message of the thread.
class Tally {
 public:
  std::int64_t failed(const Error& error) {
    if (first_.empty()) {
      first_ = error.message();
      code_ = error.code();
    }
    return -static_cast<std::int64_t>(error.code());
  }
  void went_well() { ++count_; }
  std::int64_t sum_up() const {
    if (code_ != Code::ok) (void)fail(code_, first_);
    return count_;
  }

 private:
  std::int64_t count_ = 0;
  Code code_ = Code::ok;
  std::string first_;
};

template <class Item>
std::vector<std::string> paths_of(const Item* items, std::size_t count) {
  std::vector<std::string> paths;
  paths.reserve(count);
  for (std::size_t i = 0; i < count; ++i) paths.emplace_back(items[i].path == nullptr ? "" : items[i].path);
  return paths;
}

template <class Item>
void empty(Item* items, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) items[i].result = HEARTH_CANCELLED;  // until it is known
}

}  // namespace
}  // namespace hearth::c_api

using namespace hearth;         // NOLINT(google-build-using-namespace): the functions below are C's
using namespace hearth::c_api;  // NOLINT(google-build-using-namespace)

extern "C" {

int64_t hearth_stat_many(hearth_client* client, hearth_stat_item* items, size_t count) noexcept {
  if (client == nullptr) return missing("client");
  if (items == nullptr && count != 0) return missing("items");
  empty(items, count);
  return guarded([&]() -> int64_t {
    if (const Status usable = client->client.usable(); !usable) return fail(usable.error());
    const auto found = client->client.stat_many(paths_of(items, count));
    Tally tally;
    for (std::size_t i = 0; i < count; ++i) {
      items[i].result = found[i] ? 0 : tally.failed(found[i].error());
      if (!found[i]) continue;
      put(*found[i], items[i].status);
      tally.went_well();
    }
    return tally.sum_up();
  });
}

int64_t hearth_open_many(hearth_client* client, hearth_open_item* items, size_t count) noexcept {
  if (client == nullptr) return missing("client");
  if (items == nullptr && count != 0) return missing("items");
  empty(items, count);
  for (std::size_t i = 0; i < count; ++i) items[i].file = nullptr;
  const int64_t opened = guarded([&]() -> int64_t {
    if (const Status usable = client->client.usable(); !usable) return fail(usable.error());
    auto files = client->client.open_many(paths_of(items, count));
    Tally tally;
    for (std::size_t i = 0; i < count; ++i) {
      items[i].result = files[i] ? 0 : tally.failed(files[i].error());
      if (!files[i]) continue;
      items[i].file = new hearth_file{std::move(*files[i])};  // tidy-allow(raw-new): the handle is C's to keep
      tally.went_well();
    }
    return tally.sum_up();
  });
  if (opened >= 0) return opened;
  for (std::size_t i = 0; i < count; ++i) hearth_close(std::exchange(items[i].file, nullptr));
  return opened;
}

int64_t hearth_read_many(hearth_client* client, hearth_read_item* items, size_t count) noexcept {
  if (client == nullptr) return missing("client");
  if (items == nullptr && count != 0) return missing("items");
  empty(items, count);
  return guarded([&]() -> int64_t {
    std::vector<ReadItem> reads(count);
    for (std::size_t i = 0; i < count; ++i) {
      const bool usable = items[i].file != nullptr && (items[i].into != nullptr || items[i].size == 0);
      if (!usable) continue;  // a file that was never opened is refused
      reads[i].file = items[i].file->file;
      reads[i].offset = items[i].offset;
      reads[i].into = {static_cast<std::byte*>(items[i].into), items[i].size};
    }
    const Status asked = client->client.read_many(reads);
    if (!asked) return fail(asked.error());
    Tally tally;
    for (std::size_t i = 0; i < count; ++i) {
      if (items[i].file == nullptr || (items[i].into == nullptr && items[i].size != 0)) {
        const char* what = items[i].file == nullptr ? "file" : "into";
        items[i].result = tally.failed(Error(Code::invalid_argument, std::string(what) + " of item " + std::to_string(i) + " is NULL"));
      } else if (!reads[i].result) {
        items[i].result = tally.failed(reads[i].result.error());
      } else {
        items[i].result = static_cast<int64_t>(*reads[i].result);
        tally.went_well();
      }
    }
    return tally.sum_up();
  });
}

}  // extern "C"
