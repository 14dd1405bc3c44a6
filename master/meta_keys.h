// Keys of the `meta` family (docs/formats/metadata.md). Private to the namespace and the checker.
#pragma once

#include <string_view>

namespace hearth::master::meta_keys {

inline constexpr std::string_view schema = "schema";
inline constexpr std::string_view cluster = "cluster_id";
inline constexpr std::string_view run = "run";
inline constexpr std::string_view next_inode = "next_inode";
inline constexpr std::string_view next_attachment = "next_attachment";
inline constexpr std::string_view attachments_version = "attachments_version";
inline constexpr std::string_view inode_count = "inode_count";
inline constexpr std::string_view virtual_prefix = "virtual:";  // + path
inline constexpr std::string_view orphan_prefix = "orphan:";    // + inode id
inline constexpr std::string_view policy_prefix = "policy:";    // + version
inline constexpr std::string_view move_prefix = "move:";        // + number of the move

}  // namespace hearth::master::meta_keys
