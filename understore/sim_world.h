// A simulated store as a world of the conformance suite, for tests.
#pragma once

#include "understore/conformance.h"
#include "understore/sim_store.h"

#include <string>

namespace hearth {

class SimWorld final : public StoreWorld {
 public:
  UnderStore& store() override { return store_; }
  void put_text(const std::string& path, const std::string& content) override {
    EXPECT_TRUE(store_.put_text(path, content)) << path;
  }
  void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) override {
    std::string content(length_bytes - tail.size(), '\0');
    put_text(path, content + tail);
  }
  void put_directory(const std::string& path) override { EXPECT_TRUE(store_.put_directory(path)); }
  void put_symlink(const std::string& path, const std::string& target) override {
    EXPECT_TRUE(store_.put_symlink(path, target));
  }
  void put_special(const std::string& path) override { EXPECT_TRUE(store_.put_other(path)); }
  void replace_secretly(const std::string& path, const std::string& content) override { put_text(path, content); }
  void append(const std::string& path, const std::string& more) override {
    const auto info = run_task(store_.stat(path, Deadline::never()));
    std::string content(info->length_bytes, '?');
    const std::span<std::byte> into = std::as_writable_bytes(std::span(content));
    EXPECT_TRUE(run_task(store_.read(path, info->version, 0, into, Deadline::never())));
    put_text(path, content + more);
  }
  void take_away(const std::string& path) override { EXPECT_TRUE(store_.take_away(path)); }
  std::string outside() override { return "/outside"; }
  bool decoy_untouched() override { return true; }  // nothing is outside of a tree in memory
  void vanish() override { store_.set_reachable(SimReachable::no); }

 private:
  SimStore store_{real_clock()};
};

}  // namespace hearth
