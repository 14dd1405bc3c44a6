// The calls of a client that are not reads: encode, ask, decode.
#include "client/src/client_impl.h"

#include "client/src/convert.h"
#include "proto/hearth.pb.h"

#include <algorithm>

namespace hearth {

using client::MasterRetry;

Task<FileStatus> ClientImpl::stat(std::string path) {
  return parts_->resolver.stat(std::move(path), client::Revalidate::no, metadata_deadline());
}

Task<DirectoryPage> ClientImpl::list(std::string path, std::string after, std::size_t limit) {
  constexpr std::size_t most = 10'000;  // keeps a page below the frame limit even with 255-byte names
  const auto bounded = static_cast<std::uint32_t>(std::clamp<std::size_t>(limit, 1, most));
  return parts_->resolver.list(std::move(path), std::move(after), bounded, metadata_deadline());
}

Result<std::shared_ptr<FileImpl>> ClientImpl::opened(std::string path, client::ResolutionPtr resolution) {
  if (resolution->status.type == EntryType::directory) {
    return Error(Code::is_directory, path + " is a directory; list it instead");
  }
  if (resolution->status.type != EntryType::regular) {
    return Error(Code::unsupported, path + " is neither a file nor a directory; it can not be read");
  }
  return std::make_shared<FileImpl>(shared_from_this(), std::move(path), std::move(resolution));
}

Task<std::shared_ptr<FileImpl>> ClientImpl::open(std::string path) {
  CO_TRY(resolution, co_await parts_->resolver.follow(path, metadata_deadline()));
  co_return opened(std::move(path), std::move(resolution));
}

Task<std::vector<WorkerStatus>> ClientImpl::workers() {
  proto::WorkersReply reply;
  CO_CHECK_OK(co_await parts_->master->call(Method::workers, std::string(), &reply, MasterRetry::until_deadline, metadata_deadline()));
  std::vector<WorkerStatus> out;
  for (const auto& worker : reply.workers()) out.push_back(client::to_worker(worker));
  co_return out;
}

Task<std::vector<AttachmentStatus>> ClientImpl::attachments() {
  proto::AttachmentsReply reply;
  CO_CHECK_OK(co_await parts_->master->call(Method::attachments, std::string(), &reply, MasterRetry::until_deadline, metadata_deadline()));
  std::vector<AttachmentStatus> out;
  for (const auto& attachment : reply.attachments()) out.push_back(client::to_attachment(attachment));
  co_return out;
}

Task<AttachmentStatus> ClientImpl::attach(std::string path, std::string uri, AttachmentOptions options) {
  proto::AttachRequest request;
  request.set_path(path);
  request.set_uri(uri);
  client::to_proto(options, *request.mutable_options());
  proto::AttachReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::attach, std::move(body), &reply, MasterRetry::once, metadata_deadline()));
  parts_->resolver.forget({});
  co_return client::to_attachment(reply.attachment());
}

Task<> ClientImpl::detach(std::string path) {
  proto::DetachRequest request;
  request.set_path(path);
  proto::DetachReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::detach, std::move(body), &reply, MasterRetry::once, metadata_deadline()));
  parts_->resolver.forget({});
  co_return ok();
}

Task<Client::Freed> ClientImpl::free(std::string path, bool recursive) {
  proto::FreeRequest request;
  request.set_path(path);
  request.set_recursive(recursive);
  proto::FreeReply reply;
  std::string body = request.SerializeAsString();
  CO_CHECK_OK(co_await parts_->master->call(Method::free_path, std::move(body), &reply, MasterRetry::once, metadata_deadline()));
  parts_->resolver.forget({});
  Client::Freed freed{.blocks = reply.blocks(), .bytes = reply.bytes()};
  co_return freed;
}

Task<MasterStatus> ClientImpl::master_status() {
  proto::MasterStatusReply reply;
  CO_CHECK_OK(co_await parts_->master->call(Method::master_status, std::string(), &reply, MasterRetry::until_deadline, metadata_deadline()));
  MasterStatus out;
  out.version = reply.version();
  out.cluster_id = reply.cluster_id();
  out.started_at_ns = reply.started_at_ns();
  out.inode_count = reply.inode_count();
  out.block_location_count = reply.block_location_count();
  out.attachment_count = reply.attachment_count();
  out.live_workers = reply.live_workers();
  out.lost_workers = reply.lost_workers();
  co_return out;
}

Task<SpaceStatus> ClientImpl::space(std::string path) {
  constexpr Duration patience = std::chrono::seconds(3);  // of a master that does not answer: statfs is asked by people
  proto::SpaceRequest request;
  request.set_path(path);
  proto::SpaceReply reply;
  std::string body = request.SerializeAsString();
  const Deadline deadline = metadata_deadline().sooner_of(Deadline::after(clock_, patience));
  CO_CHECK_OK(co_await parts_->master->call(Method::space, std::move(body), &reply, MasterRetry::until_deadline, deadline));
  SpaceStatus out;
  out.known = reply.known();
  out.without_limit = reply.without_limit();
  out.total_bytes = reply.total_bytes();
  out.free_bytes = reply.free_bytes();
  out.available_bytes = reply.available_bytes();
  out.files = reply.files();
  out.free_files = reply.free_files();
  co_return out;
}

}  // namespace hearth
