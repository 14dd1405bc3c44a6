// The operations of WebHDFS (and HttpFS, which speaks the same), one call each.
//
// Threads: any; calls resume on the caller's executor.
// Owns:    which namenode is active, and the login cookies of Kerberos. The HTTP client must outlive it.
// Never:   sends credentials or data from https to http, or credentials to a host that the namenode did not name.
// Fails:   as remote_error.h says. A namenode in standby or out of reach is passed over for the next one: always when it
//          refused, for calls that may be repeated also when it did not answer. Other calls end with `unavailable` then,
//          and whether they were carried out is unknown.
#pragma once

#include "common/blocking.h"
#include "common/http/http.h"
#include "understore/hdfs/file_status.h"
#include "understore/hdfs/hdfs_options.h"
#include "understore/hdfs/namenodes.h"

#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace hearth::hdfs {

enum class Recursive : std::uint8_t { no, yes };
enum class Overwrite : std::uint8_t { no, yes };

// What a namenode said, and when by its own clock (of its Date header, whole seconds; 0 = it did not say).
struct Answer {
  HttpReply reply;
  std::string authority;
};

class WebHdfsClient {
 public:
  WebHdfsClient(HdfsOptions options, HttpClient& http, BlockingPool& pool);

  // Paths are absolute in HDFS and decoded; "" is "/".
  Task<FileStatus> status(std::string path, Deadline deadline);
  // At most what the namenode gives at once, after the entry named `after` ("" = from the start).
  Task<ListingPage> list(std::string path, std::string after, Deadline deadline);
  // Bytes that came; fewer than into.size() only where the file ends.
  Task<std::uint64_t> open(std::string path, std::uint64_t offset, std::span<std::byte> into, Deadline deadline);
  // `content` lives until the task ends. The parent must exist.
  Task<> create(std::string path, Overwrite overwrite, std::span<const std::byte> content, Deadline deadline);
  Task<> append(std::string path, std::span<const std::byte> content, Deadline deadline);
  // Atomic, also over an existing file; Overwrite::no fails with already_exists there. False: the store only knows the old
  // form (HttpFS), something is there, and it did nothing.
  Task<bool> rename(std::string from, std::string to, Overwrite overwrite, Deadline deadline);
  Task<bool> remove(std::string path, Recursive recursive, Deadline deadline);  // false: nothing was there
  Task<bool> make_directories(std::string path, std::uint32_t mode, Deadline deadline);
  Task<> set_permission(std::string path, std::uint32_t mode, Deadline deadline);
  Task<> set_owner(std::string path, std::string owner, std::string group, Deadline deadline);  // "" = as it is
  Task<> set_times(std::string path, std::int64_t modified_ms, Deadline deadline);
  Task<FileChecksum> checksum(std::string path, Deadline deadline);
  Task<ContentSummary> summary(std::string path, Deadline deadline);

  const HdfsOptions& options() const { return options_; }

  // For access_probe.h. greet: some namenode answers, whatever it says, to a request without a login.
  std::vector<std::string> dialled() const;
  Task<> greet(Deadline deadline);
  Task<std::string> find_login();

 private:
  enum class Repeat : std::uint8_t { allowed, never };
  struct Call {
    std::string method = "GET";
    std::string path;
    std::string query;  // "op=..." and parameters, encoded
    Repeat repeat = Repeat::allowed;
    std::span<std::byte> into = {};
    std::uint64_t max_body_bytes = 16ULL << 20;
    std::string what() const;  // for messages
  };
  struct Attempt {
    std::optional<Answer> answer;
    std::optional<Error> error;
    bool try_next = false;
  };

  Task<Answer> ask(Call call, Deadline deadline);
  Task<Attempt> ask_one(Call call, std::size_t index, std::string login, Deadline deadline);
  Task<std::string> login_parameters();
  // The second step, at the place that the first was sent to.
  Task<HttpReply> follow(Call call, Answer redirect, std::span<const std::byte> content, Deadline deadline);
  // Both steps; tries other datanodes when one does not answer.
  Task<> upload(Call call, std::span<const std::byte> content, Deadline deadline);
  // Sends, with what Kerberos needs when `authority` is the namenode's.
  Task<HttpReply> send(HttpRequest request, std::string authority, Deadline deadline);
  HttpRequest request_to(const std::string& url, std::string_view authority) const;
  std::string cookie_of(const std::string& authority) const;
  void keep_cookie(const std::string& authority, const HttpHead& head);

  // Set once
  const HdfsOptions options_;
  HttpClient& http_;
  BlockingPool& pool_;
  Namenodes namenodes_;
  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::map<std::string, std::string> cookies_;  // by authority; at most one per namenode
};

}  // namespace hearth::hdfs
