// What changed elsewhere, as clients that subscribed are told (ClientOptions::subscribe).
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hearth {

struct ChangeNotice {
  struct Path {
    std::string path;
    enum class State : std::uint8_t { there, gone } state = State::there;
    enum class Reach : std::uint8_t { name, tree } reach = Reach::name;  // tree: and all that was known below it
  };
  enum class Scope : std::uint8_t { paths, everything } scope = Scope::paths;  // everything: then no paths
  std::vector<Path> paths;
};

// Runs on a thread of the library, which must not wait there: the master goes on to answer whoever made the change when
// `acted` was called (once, from any thread), or master.push_timeout later.
using ChangeHook = std::function<void(const ChangeNotice& notice, std::function<void()> acted)>;

}  // namespace hearth
