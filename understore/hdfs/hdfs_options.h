// What "hdfs://host:port/path" and the options of its attachment mean.
//
// Threads: pure functions; credentials are read from their files when they are used, never here.
// Fails:   invalid_argument, with the option, its value and what is accepted; an unknown option names the nearest.
#pragma once

#include "understore/store_factory.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hearth::hdfs {

enum class Login : std::uint8_t {
  simple,    // user.name, as clusters without Kerberos take it
  kerberos,  // SPNEGO with the ticket of this process
  token,     // a delegation token, from a file
};

// Whether reads name the file by its inode ("/.reserved/.inodes/N"), so that a rename meanwhile can not mix files.
enum class InodePaths : std::uint8_t { yes, no };

struct HdfsOptions {
  std::string uri;       // the one spelling
  std::string root;      // absolute path in HDFS, without trailing slash; "" is "/"
  std::string scheme;    // "http" or "https"
  std::vector<std::string> namenodes;  // "host:port", in the order they are tried
  Login login = Login::simple;
  std::string user;      // simple: "" = the user this process runs as
  std::string token_file;
  std::map<std::string, std::string> host_map;  // "host:port" or "host" -> "host:port" or "host"
  InodePaths inode_paths = InodePaths::yes;
  std::string ca_file;
  std::string client_certificate;
  std::string client_key;
  std::string proxy;
  std::optional<std::uint32_t> uid;  // files belong to, as seen in the namespace; nothing = whom this process runs as
  std::optional<std::uint32_t> gid;
};

Result<HdfsOptions> parse_hdfs_options(std::string_view uri, const StoreOptions& options);
const std::vector<std::string_view>& hdfs_option_names();

// Where to dial instead of `authority` ("host:port"), when the map says so.
std::optional<std::string> mapped_address(const std::map<std::string, std::string>& host_map, std::string_view authority);

}  // namespace hearth::hdfs
