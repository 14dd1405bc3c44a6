#include "understore/hdfs/remote_error.h"

#include <array>

namespace hearth::hdfs {
namespace {

struct Row {
  std::string_view exception;
  Code code;
  std::string_view advice;
};

// https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html#Error_Responses, and what 3.4 sends.
constexpr Row invalid_token{"InvalidToken", Code::unauthenticated, "; the delegation token expired or was cancelled: fetch a new one"};
constexpr std::array rows{
    Row{"FileNotFoundException", Code::not_found, ""},
    Row{"AccessControlException", Code::permission_denied, "; grant access in HDFS, or attach as another user"},
    Row{"AuthorizationException", Code::permission_denied, ""},
    Row{"SecurityException", Code::unauthenticated, "; check user, ticket or token"},
    Row{"AuthenticationException", Code::unauthenticated, "; check user, ticket or token"},
    invalid_token,
    Row{"SafeModeException", Code::unavailable, "; HDFS is in safe mode until an administrator or enough datanodes end it"},
    Row{"RetriableException", Code::unavailable, ""},
    Row{"ServerTooBusyException", Code::overloaded, ""},
    Row{"DSQuotaExceededException", Code::no_space, "; raise the space quota or remove files"},
    Row{"NSQuotaExceededException", Code::no_space, "; raise the name quota or remove files"},
    Row{"QuotaByStorageTypeExceededException", Code::no_space, "; raise the quota or remove files"},
    Row{"QuotaExceededException", Code::no_space, "; raise the quota or remove files"},
    Row{"DiskOutOfSpaceException", Code::no_space, "; the datanodes are full"},
    Row{"MaxDirectoryItemsExceededException", Code::no_space, ""},
    Row{"FSLimitException", Code::no_space, ""},
    Row{"PathComponentTooLongException", Code::name_too_long, ""},
    Row{"FileAlreadyExistsException", Code::already_exists, ""},
    Row{"AlreadyBeingCreatedException", Code::busy, "; another client is writing it"},
    Row{"RecoveryInProgressException", Code::busy, "; its last writer died, HDFS is closing it"},
    Row{"LeaseExpiredException", Code::busy, "; another client took it over"},
    Row{"ParentNotDirectoryException", Code::not_directory, ""},
    Row{"PathIsNotDirectoryException", Code::not_directory, ""},
    Row{"PathIsNotEmptyDirectoryException", Code::not_empty, ""},
    Row{"SnapshotAccessControlException", Code::read_only, ""},
    Row{"InvalidPathException", Code::invalid_argument, ""},
    Row{"IllegalArgumentException", Code::invalid_argument, ""},
    Row{"HadoopIllegalArgumentException", Code::invalid_argument, ""},
    Row{"ParamException", Code::invalid_argument, ""},
    Row{"UnsupportedOperationException", Code::unsupported, ""},
    Row{"BlockMissingException", Code::unavailable, "; no datanode that has the data is up"},
    Row{"ConnectException", Code::unavailable, ""},
    Row{"SocketTimeoutException", Code::unavailable, ""},
    Row{"NoRouteToHostException", Code::unavailable, ""},
};

bool says(const RemoteException& remote, std::string_view words) { return remote.message.find(words) != std::string::npos; }

Row row_of(const RemoteException& remote) {
  // Hadoop says these with a plain IOException, AccessControlException or SecurityException; only the words tell.
  if (says(remote, "SecretManager$InvalidToken")) return invalid_token;
  if (says(remote, "is not a directory")) return {"", Code::not_directory, ""};
  if (says(remote, "could only be written to") || says(remote, "could only be replicated to")) {
    return {"", Code::no_space, "; too few datanodes are up or have room"};
  }
  if (says(remote, "There are no datanodes") || says(remote, "Failed to find datanode") || says(remote, "Could not obtain block")) {
    return {"", Code::unavailable, "; no datanode that could serve it is up"};
  }
  if (says(remote, "is a directory or file under source")) return {"", Code::invalid_argument, ""};
  for (const Row& row : rows) {
    if (row.exception == remote.name) return row;
  }
  return {"", Code::io_error, ""};
}

Code code_of_status(int status) {
  switch (status) {
    case 401:
    case 407: return Code::unauthenticated;
    case 403: return Code::permission_denied;
    case 429: return Code::overloaded;
    case 503: return Code::overloaded;
    default: return Code::unavailable;
  }
}

}  // namespace

Refusal refusal_of(const HttpReply& reply, std::string_view what) {
  const int status = reply.head.status;
  const auto remote = parse_remote_exception(reply.body);
  if (!remote) {
    const Code code = code_of_status(status);
    std::string advice = "; the address does not answer as WebHDFS, check http_address";
    if (code == Code::unauthenticated) advice = "; the store wants Kerberos or a token, see the option auth";
    if (code == Code::overloaded) advice = "; it is overloaded";
    return {Error(code, std::string(what) + ": HTTP status " + std::to_string(status) + advice), Standing::active, ""};
  }
  const std::string said = std::string(what) + ": " + remote->name + " (" + remote->message + ")";
  // HttpFS and routers wrap it.
  if (remote->name == "StandbyException" || says(*remote, "StandbyException")) {
    return {Error(Code::unavailable, said), Standing::standby, remote->name};
  }
  const Row row = row_of(*remote);
  return {Error(row.code, said + std::string(row.advice)), Standing::active, remote->name};
}

}  // namespace hearth::hdfs
