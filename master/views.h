// What the namespace answers: values, valid as of the moment they were made.
#pragma once

#include "common/block.h"
#include "common/ids.h"
#include "master/path.h"
#include "master/records.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hearth::master {

struct FileView {
  Inode inode;
  InodeId reported_id;  // what st_ino shows
  AttachmentId attachment;
  enum class Source : std::uint8_t { current, stale } source = Source::current;
  Duration ttl{};  // how much longer it is current
  AttachmentSettings::Writing writing = AttachmentSettings::Writing::refused;
};

struct ListView {
  FileView directory;
  std::vector<std::pair<std::string, FileView>> entries;
  enum class Rest : std::uint8_t { none, more } rest = Rest::none;
};

struct ResolvedView {
  FileView file;
  std::vector<BlockRef> blocks;
  std::string store_uri;
  AttachmentSettings settings;

  // With the blocks of the file's version; `store_path` is its path in the attachment's store.
  static ResolvedView of(const AttachmentRow& row, const std::string& store_path, FileView file);
};

// A name of which clients may know something that is not true any more.
struct NameNews {
  std::string path;  // in the namespace
  enum class State : std::uint8_t { there, gone } state = State::there;
  enum class Reach : std::uint8_t { name, tree } reach = Reach::name;  // tree: all below it, too
  bool operator==(const NameNews&) const = default;
};

// What a change did.
struct ChangedView {
  std::string version_before;    // of the object; "" when it was made
  std::optional<FileView> file;  // of the object afterwards (of a rename, under its new name); nothing when it is gone
  std::vector<NameNews> news;    // empty while nobody listens
  std::uint64_t move = 0;        // not 0: it is still going on, see MetadataService::moved()
};

// What was removed of a tree.
struct RemovedView {
  std::uint64_t objects = 0;
  enum class Rest : std::uint8_t { none, more } rest = Rest::none;
  std::vector<NameNews> news;
};

// Room in the under-stores beneath a path.
struct SpaceView {
  bool known = false;          // of some store: the sum over those, each place once
  bool without_limit = false;  // some store has none that it tells
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t files = 0;
  std::uint64_t free_files = 0;
};

struct AttachmentsView {
  std::vector<AttachmentRow> rows;
  std::uint64_t version = 0;
};

// Where a walk over cached files goes on; see cached_files().
struct FileWalk {
  NamespacePath root;
  std::vector<std::pair<std::string, std::string>> pending;  // directory path and the last name seen in it
  enum class Scope : std::uint8_t { file, tree } scope = Scope::file;
  enum class State : std::uint8_t { fresh, under_way, done } state = State::fresh;
};

}  // namespace hearth::master
