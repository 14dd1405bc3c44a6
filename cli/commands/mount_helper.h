// /sbin/mount.hearth: the words mount(8) calls it with, as words of `hearth mount`.
//
//   mount.hearth hearth://host:port/subtree /mnt/hearth [-sfnv] [-N namespace] [-t type] [-o options]
#pragma once

#include <hearth/result.h>

#include <string>
#include <string_view>
#include <vector>

namespace hearth::cli {

// Fails: invalid_argument. Empty when there is nothing to do (-f, "fake").
Result<std::vector<std::string>> mount_helper_words(const std::vector<std::string>& words);

struct MountSource {
  std::string master;   // "" = the default
  std::string subtree;  // absolute
};
// "hearth://host:port/subtree"; also "hearth" alone, which is the default master and all of it.
Result<MountSource> parse_mount_source(std::string_view text);

}  // namespace hearth::cli
