#include "common/change_wire.h"

#include "proto/hearth.pb.h"

#include <limits>

namespace hearth {
namespace {

constexpr int max_groups = 65536;  // NGROUPS_MAX
constexpr std::size_t max_xattr_name_bytes = 255;
constexpr std::size_t max_xattr_bytes = 65536;  // XATTR_SIZE_MAX

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

using Wire = proto::ChangeRequest;

void time_to_wire(const SetAttributes::Time& time, Wire::Time& out) {
  out.set_now(time.now);
  out.set_ns(time.ns);
}

SetAttributes::Time time_from_wire(const Wire::Time& time) { return {.now = time.now(), .ns = time.ns()}; }

SetAttributes attributes_from_wire(const Wire& request) {
  const Wire::SetAttributes& wanted = request.set_attributes();
  SetAttributes out;
  out.path = request.path();
  if (wanted.has_mode()) out.mode = wanted.mode();
  if (wanted.has_uid()) out.uid = wanted.uid();
  if (wanted.has_gid()) out.gid = wanted.gid();
  if (wanted.has_atime()) out.atime = time_from_wire(wanted.atime());
  if (wanted.has_mtime()) out.mtime = time_from_wire(wanted.mtime());
  return out;
}

Result<Change> xattr_from_wire(const Wire& request) {
  const Wire::SetXattr& wanted = request.set_xattr();
  if (wanted.name().size() > max_xattr_name_bytes || wanted.value().size() > max_xattr_bytes) {
    return Error(Code::invalid_argument, "an extended attribute has a name of at most 255 bytes and a value of at most 64 KiB")
        .with_error_number(wanted.value().size() > max_xattr_bytes ? E2BIG : ERANGE);
  }
  SetXattr out;
  out.path = request.path();
  out.name = wanted.name();
  out.value = wanted.value();
  switch (wanted.presence()) {
    case Wire::SetXattr::ANY: out.presence = SetXattr::Presence::any; break;
    case Wire::SetXattr::MUST_BE_ABSENT: out.presence = SetXattr::Presence::must_be_absent; break;
    case Wire::SetXattr::MUST_BE_PRESENT: out.presence = SetXattr::Presence::must_be_present; break;
    default: return Error(Code::invalid_argument, "an extended attribute set in a way that this build does not know; check the client's version");
  }
  return Change(std::move(out));
}

Result<Change> rename_from_wire(const Wire& request) {
  Rename out;
  out.from = request.path();
  out.to = request.rename().to();
  switch (request.rename().target()) {
    case Wire::Rename::REPLACE: out.target = Rename::Target::replace; break;
    case Wire::Rename::MUST_BE_ABSENT: out.target = Rename::Target::must_be_absent; break;
    case Wire::Rename::EXCHANGE: out.target = Rename::Target::exchange; break;
    default: return Error(Code::invalid_argument, "a rename of a kind that this build does not know; check the client's version");
  }
  return Change(std::move(out));
}

}  // namespace

void caller_to_wire(const Caller& caller, proto::Caller& out) {
  out.set_uid(caller.uid);
  out.set_gid(caller.gid);
  for (const std::uint32_t group : caller.groups) out.add_groups(group);
  out.set_umask(caller.umask);
}

Result<Caller> caller_from_wire(const proto::Caller& caller) {
  if (caller.groups_size() > max_groups) return Error(Code::invalid_argument, "a caller is in more than 65536 groups");
  Caller out;
  out.uid = caller.uid();
  out.gid = caller.gid();
  out.groups.assign(caller.groups().begin(), caller.groups().end());
  out.umask = caller.umask() & 0777;
  return out;
}

void change_to_wire(const Change& change, proto::ChangeRequest& out) {
  out.set_path(path_of(change));
  std::visit(Overloaded{
                 [&](const MakeDirectory& make) { out.mutable_make_directory()->set_mode(make.mode); },
                 [&](const MakeNode& make) {
                   out.mutable_make_node()->set_mode(make.mode);
                   out.mutable_make_node()->set_device(make.device);
                 },
                 [&](const MakeSymlink& make) { out.mutable_make_symlink()->set_target(make.target); },
                 [&](const MakeLink& make) { out.mutable_make_link()->set_existing(make.existing); },
                 [&](const RemoveFile&) { out.mutable_remove_file(); },
                 [&](const RemoveDirectory&) { out.mutable_remove_directory(); },
                 [&](const Rename& rename) {
                   out.mutable_rename()->set_to(rename.to);
                   out.mutable_rename()->set_target(rename.target == Rename::Target::exchange         ? Wire::Rename::EXCHANGE
                                                    : rename.target == Rename::Target::must_be_absent ? Wire::Rename::MUST_BE_ABSENT
                                                                                                      : Wire::Rename::REPLACE);
                 },
                 [&](const SetAttributes& set) {
                   Wire::SetAttributes& wanted = *out.mutable_set_attributes();
                   if (set.mode) wanted.set_mode(*set.mode);
                   if (set.uid) wanted.set_uid(*set.uid);
                   if (set.gid) wanted.set_gid(*set.gid);
                   if (set.atime) time_to_wire(*set.atime, *wanted.mutable_atime());
                   if (set.mtime) time_to_wire(*set.mtime, *wanted.mutable_mtime());
                 },
                 [&](const SetXattr& set) {
                   Wire::SetXattr& wanted = *out.mutable_set_xattr();
                   wanted.set_name(set.name);
                   wanted.set_value(set.value);
                   wanted.set_presence(set.presence == SetXattr::Presence::must_be_absent    ? Wire::SetXattr::MUST_BE_ABSENT
                                       : set.presence == SetXattr::Presence::must_be_present ? Wire::SetXattr::MUST_BE_PRESENT
                                                                                             : Wire::SetXattr::ANY);
                 },
                 [&](const RemoveXattr& remove) { out.mutable_remove_xattr()->set_name(remove.name); },
                 [&](const SyncDirectory&) { out.mutable_sync_directory(); },
                 [&](const LookAgain& look) { out.mutable_look_again()->set_wrote(look.wrote); },
             },
             change);
}

Result<Change> change_from_wire(const proto::ChangeRequest& request) {
  const std::string& path = request.path();
  switch (request.change_case()) {
    case Wire::kMakeDirectory: return Change(MakeDirectory{.path = path, .mode = request.make_directory().mode()});
    case Wire::kMakeNode:
      return Change(MakeNode{.path = path, .mode = request.make_node().mode(), .device = request.make_node().device()});
    case Wire::kMakeSymlink: return Change(MakeSymlink{.path = path, .target = request.make_symlink().target()});
    case Wire::kMakeLink: return Change(MakeLink{.path = path, .existing = request.make_link().existing()});
    case Wire::kRemoveFile: return Change(RemoveFile{.path = path});
    case Wire::kRemoveDirectory: return Change(RemoveDirectory{.path = path});
    case Wire::kRename: return rename_from_wire(request);
    case Wire::kSetAttributes: return Change(attributes_from_wire(request));
    case Wire::kSetXattr: return xattr_from_wire(request);
    case Wire::kRemoveXattr: return Change(RemoveXattr{.path = path, .name = request.remove_xattr().name()});
    case Wire::kSyncDirectory: return Change(SyncDirectory{.path = path});
    case Wire::kLookAgain: return Change(LookAgain{.path = path, .wrote = request.look_again().wrote()});
    case Wire::CHANGE_NOT_SET: break;
  }
  return Error(Code::invalid_argument, "a change of a kind that this build does not know; check the client's version");
}

std::string& path_of(Change& change) {
  return std::visit(Overloaded{[](Rename& rename) -> std::string& { return rename.from; },
                               [](auto& other) -> std::string& { return other.path; }},
                    change);
}

const std::string& path_of(const Change& change) { return path_of(const_cast<Change&>(change)); }

std::string* other_path_of(Change& change) {
  if (auto* rename = std::get_if<Rename>(&change)) return &rename->to;
  if (auto* link = std::get_if<MakeLink>(&change)) return &link->existing;
  return nullptr;
}

const std::string* other_path_of(const Change& change) { return other_path_of(const_cast<Change&>(change)); }

bool makes_a_name(const Change& change) {
  return std::holds_alternative<MakeDirectory>(change) || std::holds_alternative<MakeNode>(change) ||
         std::holds_alternative<MakeSymlink>(change) || std::holds_alternative<MakeLink>(change);
}

}  // namespace hearth
