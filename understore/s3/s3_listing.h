// The entries of one directory, page by page: what keys below "prefix/" look like as names.
//
// Threads: ListedNames is confined; S3Listing like every Listing.
// Owns:    one page, and the names of objects that a later prefix may repeat (at most one per byte of a key).
// Fails:   as S3Client::send; corrupt for a page that does not go on. After a failure next() may be asked again.
#pragma once

#include "understore/s3/s3_client.h"
#include "understore/under_store.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace hearth::s3 {

// The attributes that every object and every directory of a bucket gets.
ObjectInfo file_info(std::string name, const ListedObject& object);
ObjectInfo directory_info(std::string name);

// Keys and prefixes to entries. A key that is an object and a prefix is the file. Names that no path has ("", ".", "..",
// not UTF-8) are counted and left out.
class ListedNames {
 public:
  explicit ListedNames(std::string prefix) : prefix_(std::move(prefix)) {}

  // Adds the entries of a page in key order.
  Status add(const ListPage& page, std::deque<ObjectInfo>& entries);
  // Whether the directory itself was seen: its marker, or anything below it.
  bool exists() const { return exists_; }
  std::uint64_t left_out() const { return left_out_; }

 private:
  Status add_object(const ListedObject& object, std::deque<ObjectInfo>& entries);
  Status add_prefix(const std::string& prefix, std::deque<ObjectInfo>& entries);
  bool take(std::string_view name);

  std::string prefix_;
  std::vector<std::string> shadowing_;  // objects "a" after which "a/" may still come; each begins with the one before
  std::string last_;
  bool exists_ = false;
  std::uint64_t left_out_ = 0;
};

struct ListQuery {
  std::string prefix;
  bool by_directory = true;  // false: every key below
  std::size_t max_keys = 1000;
  std::string token;
  std::string start_after;  // a key
};
Task<ListPage> list_page(S3Client& client, ListQuery query, Deadline deadline);

class S3Listing final : public Listing {
 public:
  // `owner` keeps the client alive: a listing may outlast whoever asked the store for it.
  S3Listing(S3Client& client, std::shared_ptr<const void> owner, std::string prefix)
      : client_(client), owner_(std::move(owner)), prefix_(prefix), names_(std::move(prefix)) {}

  // Pages until there is an entry, or none is left.
  Task<> fill(Deadline deadline);
  bool exists() const { return names_.exists(); }
  Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override;

 private:
  S3Client& client_;
  std::shared_ptr<const void> owner_;
  std::string prefix_;
  ListedNames names_;
  std::deque<ObjectInfo> entries_;
  std::string token_;
  bool done_ = false;
};

}  // namespace hearth::s3
