// What an answer that is not a success means, with the store's own words.
//
// Threads: pure functions. Never says not_found without a RemoteException that says so: a 404 of something else
// (a proxy, a wrong address) is no proof that a file is absent.
#pragma once

#include "common/http/http.h"
#include "understore/hdfs/hdfs_json.h"

#include <string>
#include <string_view>

namespace hearth::hdfs {

enum class Standing : std::uint8_t { active, standby };

struct Refusal {
  Error error;
  Standing standing = Standing::active;  // standby: another namenode knows
  std::string exception;                 // "" when there was none
};

// `what`: "GETFILESTATUS "/a/b" at nn:9870".
Refusal refusal_of(const HttpReply& reply, std::string_view what);

}  // namespace hearth::hdfs
