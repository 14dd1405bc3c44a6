// A strict S3 service for tests, in this process: it believes no signature, region or clock, and misbehaves as scripted.
//
// Speaks path-style: objects (GET with range and conditions, HEAD, PUT, DELETE, copy), ListObjectsV2 (delimiter, encoding,
// continuation), multipart uploads with copies of parts, DeleteObjects, ListMultipartUploads.
//
// Threads: any; requests run on the server's threads, the state is behind one lock.
// Owns:    its objects, in memory.
#pragma once

#include "common/rng.h"
#include "understore/s3/double_signature.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hearth::s3 {

struct DoubleFault {
  enum class Kind : std::uint8_t {
    none,
    delay,              // by `delay`, before the head
    cut_body,           // after `at` bytes, connection closed
    cut_before_length,  // the same without Content-Length: the end looks regular
    corrupt_body,       // flips a bit of byte `at`
    refuse,             // `status` with the error `text`
    slow_down,          // 503 SlowDown, Retry-After: 1
    ignore_if_match,
    ignore_range,       // the whole object, 200
    other_range,        // 206 of the range one byte further
    lie_total,          // Content-Range with another total
    no_content_range,   // 206 without
    no_etag,
    whole_length,       // Content-Length of the whole object in a 206
    switch_version,     // the object is replaced (switched_content) before this request is answered
    replace_body,       // 200 with the body `text`
    drop,               // closes without an answer
  };
  Kind kind = Kind::none;
  std::uint64_t at = 0;
  int status = 500;
  std::string text;
  Duration delay{};
};

struct DoubleOptions {
  std::string bucket = "bucket";
  DoubleIdentity identity;
  std::size_t max_page = 1000;
  enum class Lists : std::uint8_t { encoded, as_they_are } lists = Lists::encoded;  // as_they_are: ignores encoding-type
  Clock* clock = &real_clock();
  TestServerOptions server;
};

class S3Double {
 public:
  explicit S3Double(DoubleOptions options = {});

  std::string origin() const { return server_->origin(); }
  const DoubleOptions& options() const { return options_; }

  // What somebody else does to the bucket.
  void put(const std::string& key, std::string content);
  // An object that is not kept: the bytes from `position` are made when they are sent, on the server's threads.
  using Maker = std::function<void(std::uint64_t position, std::span<std::byte> into)>;
  void put_made(const std::string& key, std::uint64_t length_bytes, Maker make);
  void erase(const std::string& key);
  std::optional<std::string> content(const std::string& key) const;
  std::vector<std::string> keys() const;
  std::size_t open_uploads() const;
  void add_open_upload(const std::string& key, const std::string& id, WallTime initiated);
  // The object's next version, for switch_version.
  void prepare_switch(const std::string& key, std::string content);

  // Scripts. An operation is named as in the API ("GetObject"); "" is any. `nth` counts that operation from now, from 0.
  void at_request(const std::string& operation, std::uint64_t nth, DoubleFault fault);
  void always(const std::string& operation, DoubleFault fault);
  void randomly(double probability, std::uint64_t seed, DoubleFault fault);
  void forgive();  // no faults, counters from 0

  void set_identity(DoubleIdentity identity);
  void set_bucket_exists(bool exists);
  void deny(const std::string& key_prefix);

  std::uint64_t count(const std::string& operation) const;  // "" = all; answered or refused
  std::vector<TestRequest> log() const { return server_->log(); }
  std::vector<TestRequest> log_of(const std::string& operation) const;
  std::uint64_t bytes_sent() const;

  // Nobody listens any more; come_back() listens on the same port.
  void go_away();
  void come_back();

 private:
  struct Object {
    std::string content;
    std::string etag;
    WallTime modified;
    std::vector<HttpHeader> checksums;
    std::uint64_t made_length = 0;
    Maker make;  // instead of content

    std::uint64_t length() const { return make ? made_length : content.size(); }
  };
  struct Upload {
    std::string key;
    WallTime initiated;
    std::map<int, Object> parts;
  };
  struct Call;

  TestReply answer(const TestRequest& request);
  TestReply dispatch(Call& call);
  DoubleFault fault_for(const std::string& operation);
  Object make_object(std::string content, const std::vector<HttpHeader>& headers) const;
  std::optional<TestReply> check_checksum(const Call& call) const;
  std::optional<TestReply> check_absent(const Call& call) const;  // If-None-Match: *

  TestReply get_object(Call& call);
  TestReply put_object(Call& call);
  TestReply copy_object(Call& call);
  TestReply list_objects(Call& call);
  TestReply begin_upload(Call& call);
  TestReply upload_part(Call& call);
  TestReply complete_upload(Call& call);
  TestReply abort_upload(Call& call);
  TestReply list_uploads(Call& call);
  TestReply delete_objects(Call& call);
  std::optional<std::string> source_of_copy(Call& call, TestReply& refusal);

  // Set once
  DoubleOptions options_;

  mutable std::mutex mutex_;
  // Guarded by mutex_
  std::map<std::string, Object> objects_;
  std::map<std::string, Upload> uploads_;
  std::map<std::string, std::string> switches_;
  std::map<std::pair<std::string, std::uint64_t>, DoubleFault> scripted_;
  std::map<std::string, DoubleFault> always_;
  double probability_ = 0;
  std::unique_ptr<SeededRng> random_;
  DoubleFault random_fault_;
  std::map<std::string, std::uint64_t> counts_;
  std::map<std::uint64_t, std::string> operations_;  // of each request's number
  std::vector<std::string> denied_;
  bool bucket_exists_ = true;
  std::uint64_t next_upload_ = 1;
  std::uint64_t bytes_sent_ = 0;

  std::unique_ptr<TestServer> server_;  // last: its threads use the rest
};

}  // namespace hearth::s3
