// Stores of keys, where a directory moves and goes only key by key: in stretches, which the master strings together into moves
// that are never seen half done (master/tree_moves.h).
//
// Threads: any, as UnderStore. Each call may be repeated, also after one that was broken off: it does what is not done yet.
// Fails:   as the store says; stale or not_found when the source changed while it was copied: begin again.
#pragma once

#include "understore/under_store.h"

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

// What one call did: the next objects of a tree, in the store's order.
struct TreeStretch {
  std::string next;            // what the call after this one begins behind; "" when it was the last
  std::uint64_t objects = 0;   // looked at
  std::uint64_t changed = 0;   // copied or removed
  std::uint64_t kept = 0;      // remove: left because it is newer than `made_before_ns`
  std::int64_t at_ns = 0;      // the store's own clock when it was asked; 0: not known
  // Copies whose version is another one than that of their source.
  struct Version {
    std::string below;  // path inside the tree
    std::string source, copy;
  };
  std::vector<Version> versions;
};

// The two directories of a move.
struct TreePair {
  std::string from;
  std::string to;
};

class TreeMover {
 public:
  virtual ~TreeMover() = default;

  // Asks what change(Rename) asks before it does anything, with its errno, and sees to it that the directory above stays one.
  struct Prepared {
    ObjectInfo source;
    bool replaces_directory = false;  // an empty one stands under the new name
  };
  virtual Task<Prepared> prepare_move(Rename rename, Deadline deadline) = 0;
  // Copies the next objects below `from` to `to` where the same is not there yet. A pass that changed nothing proves that all
  // was there when it began.
  virtual Task<TreeStretch> copy_stretch(TreePair trees, std::string after, Deadline deadline) = 0;
  // Takes copies back: of the next objects below `to` those that are below `from` too. The directory's own marker stays where
  // `keeps_directory`.
  enum class Marker : std::uint8_t { goes, stays };
  virtual Task<TreeStretch> uncopy_stretch(TreePair trees, std::string after, Marker marker, Deadline deadline) = 0;
  // Removes the next objects at and below `directory`, but none that the store made after `made_before_ns` (0: all).
  virtual Task<TreeStretch> remove_stretch(std::string directory, std::string after, std::int64_t made_before_ns, Deadline deadline) = 0;
};

}  // namespace hearth
