// Between the bodies of proto/hearth.proto and the master's own types.
//
// Threads: pure functions.
// Fails:   invalid_argument: the body is not the message, or a field is out of its range.
#pragma once

#include "common/net/rpc.h"
#include "master/membership.h"
#include "master/metadata_service.h"
#include "proto/hearth.pb.h"

#include <string>
#include <vector>

namespace hearth::master {

template <class Message>
Result<Message> parse_body(const ServerCall& call) {
  Message message;
  if (!message.ParseFromString(call.body())) {
    return Error(Code::invalid_argument,
                 "the body of a " + std::string(name(call.method())) + " request is not that message; check the peer's version");
  }
  return message;
}

// The caller's deadline, but never later than a minute from now: nothing here waits without an end.
Deadline bounded_deadline(const ServerCall& call, const Clock& clock);

ServerReply reply_with(const google::protobuf::MessageLite& message);

void to_wire(const FileView& file, proto::FileInfo& out);
void to_wire(const AttachmentRow& row, proto::Attachment& out);
void to_wire(const AttachmentSettings& settings, proto::AttachmentOptions& out);
void to_wire(const WorkerRow& worker, proto::WorkerInfo& out);
void to_wire(const std::vector<WorkerId>& workers, proto::BlockLocation& out);

// Sizes of zero mean the defaults; a TTL of zero means always ask.
Result<AttachmentSettings> settings_from_wire(const proto::AttachmentOptions& options);
Result<WorkerFigures> figures_from_wire(const proto::WorkerInfo& worker);
Result<PresenceReport> report_from_wire(const proto::HeartbeatRequest& request);

}  // namespace hearth::master
