// A WebHDFS service for tests: namenodes and a datanode in this process, strict about what clients send.
//
// It refuses, as the real one or stricter: a wrong method for an operation, unknown parameters, characters that belong
// encoded, content sent to a namenode, content without its type and length, a missing or wrong user or token.
//
// Threads: any.
// Owns:    the tree and the servers. Hooks run on the servers' threads, the tree's lock not held.
#pragma once

#include "common/http/test_server.h"
#include "understore/hdfs/double_tree.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hearth::hdfs {

struct WebHdfsDoubleOptions {
  std::size_t namenodes = 1;
  std::size_t listing_limit = 1000;  // dfs.ls.limit
  std::string required_user;         // "" = any, but one must be named unless a token is required
  std::string required_token;
  enum class Kind : std::uint8_t { webhdfs, httpfs } kind = Kind::webhdfs;  // httpfs: OPEN answers itself, no rename options, no inodes, parents are always made
  TestServerOptions server;          // TLS
};

struct DoubleRequest {
  enum class Role : std::uint8_t { namenode, datanode } role = Role::namenode;
  std::size_t namenode = 0;  // which
  std::uint64_t number = 0;  // of all requests to this double, from 0
  std::string operation;
  std::string path;
};

class WebHdfsDouble {
 public:
  explicit WebHdfsDouble(WebHdfsDoubleOptions options = {});
  ~WebHdfsDouble();
  WebHdfsDouble(const WebHdfsDouble&) = delete;
  WebHdfsDouble& operator=(const WebHdfsDouble&) = delete;

  // For the options of an attachment: "127.0.0.1:40001,127.0.0.1:40002".
  std::string http_address() const;
  std::uint16_t datanode_port() const;

  // The world behind it.
  void edit(const std::function<void(DoubleTree&)>& work);
  void put(const std::string& path, const std::string& content);

  // The script.
  void make_standby(std::size_t namenode);
  void make_active(std::size_t namenode);
  void enter_safe_mode();
  // What redirects name instead of the datanode's address, for hosts that nobody can resolve.
  void advertise_datanode(const std::string& authority);
  void stop_namenode(std::size_t namenode);
  void stop_datanode();
  void stop();
  // Before a request is carried out; an answer given here replaces it.
  void on_request(std::function<std::optional<TestReply>(const DoubleRequest&)> hook);
  // The answer on its way: faults are set here.
  void on_reply(std::function<void(const DoubleRequest&, TestReply&)> hook);

  std::uint64_t requests() const;
  std::vector<TestRequest> namenode_log(std::size_t namenode = 0) const;
  std::vector<TestRequest> datanode_log() const;

  static TestReply exception(const DoubleException& thrown);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hearth::hdfs
