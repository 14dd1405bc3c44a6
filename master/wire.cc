#include "master/wire.h"

#include "common/block_wire.h"

namespace hearth::master {

namespace {

constexpr std::uint64_t max_ttl_ms = 10ULL * 365 * 24 * 3600 * 1000;
constexpr Duration max_wait = std::chrono::minutes(1);
constexpr std::size_t max_text_bytes = 1024;
constexpr std::size_t max_tiers = 64;
constexpr std::size_t max_store_options = 64;
constexpr std::size_t max_option_name_bytes = 64;

std::uint64_t whole_ms(Duration duration) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

proto::FileType type_to_wire(FileType type) {
  switch (type) {
    case FileType::regular: return proto::REGULAR;
    case FileType::directory: return proto::DIRECTORY;
    case FileType::symlink: return proto::SYMLINK;
    case FileType::other: return proto::OTHER;
  }
  return proto::FILE_TYPE_UNKNOWN;
}

// What they mean is the store's business; here only their form and number are bounded.
Result<StoreOptions> store_options_from_wire(const proto::AttachmentOptions& options) {
  if (options.store_options().size() > max_store_options) {
    return Error(Code::invalid_argument, "an attachment takes at most 64 store options, " +
                                             std::to_string(options.store_options().size()) + " were given");
  }
  StoreOptions out;
  for (const auto& [name, value] : options.store_options()) {
    const bool plain = !name.empty() && name.size() <= max_option_name_bytes &&
                       name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-.") == std::string::npos;
    if (!plain) {
      return Error(Code::invalid_argument, "\"" + printable(name.substr(0, 2 * max_option_name_bytes)) +
                                               "\" is not the name of a store option; names are lower-case words like endpoint");
    }
    if (value.size() > max_text_bytes || value.find('\0') != std::string::npos) {
      return Error(Code::invalid_argument, "the value of store option " + name + " is longer than 1024 bytes or has a zero byte");
    }
    out.emplace(name, value);
  }
  return out;
}

}  // namespace

Deadline bounded_deadline(const ServerCall& call, const Clock& clock) {
  return call.deadline().sooner_of(Deadline::after(clock, max_wait));
}

ServerReply reply_with(const google::protobuf::MessageLite& message) {
  ServerReply reply;
  message.SerializeToString(&reply.body);
  return reply;
}

void to_wire(const FileView& file, proto::FileInfo& out) {
  const Inode& inode = file.inode;
  out.set_inode(file.reported_id.value);
  out.set_type(type_to_wire(inode.type));
  out.set_length_bytes(inode.length_bytes);
  out.set_mode(inode.mode);
  out.set_uid(inode.uid);
  out.set_gid(inode.gid);
  out.set_link_count(inode.link_count);
  out.set_mtime_ns(inode.mtime_ns);
  out.set_ctime_ns(inode.ctime_ns);
  out.set_atime_ns(inode.atime_ns);
  out.set_special(inode.special);
  out.set_device(inode.device);
  if (inode.allocated_bytes) out.set_allocated_bytes(*inode.allocated_bytes);
  out.set_writable(file.writing == AttachmentSettings::Writing::allowed);
  out.set_version(inode.version);
  out.set_symlink_target(inode.symlink_target);
  out.set_attachment(file.attachment.value);
  out.set_served_stale(file.source == FileView::Source::stale);
  out.set_ttl_ms(whole_ms(file.ttl));
}

void to_wire(const AttachmentSettings& settings, proto::AttachmentOptions& out) {
  using Settings = AttachmentSettings;
  out.set_metadata_ttl_ms(whole_ms(settings.metadata_ttl));
  out.set_block_size_bytes(settings.block_size_bytes);
  out.set_page_size_bytes(settings.page_size_bytes);
  out.set_read_only(settings.writing == Settings::Writing::refused);
  out.set_serve_stale(settings.serve_stale == Settings::ServeStale::always      ? proto::AttachmentOptions::ALWAYS
                      : settings.serve_stale == Settings::ServeStale::until_ttl ? proto::AttachmentOptions::UNTIL_TTL
                                                                                : proto::AttachmentOptions::NEVER);
  out.set_placement(settings.placement == Settings::Placement::hash ? proto::AttachmentOptions::HASH
                                                                    : proto::AttachmentOptions::LOCAL_FIRST);
  for (const auto& [name, value] : settings.store_options) (*out.mutable_store_options())[name] = value;
}

Result<AttachmentSettings> settings_from_wire(const proto::AttachmentOptions& options) {
  using Settings = AttachmentSettings;
  Settings out;
  if (options.metadata_ttl_ms() > max_ttl_ms) {
    return Error(Code::invalid_argument, "a metadata TTL of " + std::to_string(options.metadata_ttl_ms()) +
                                             " ms was given; at most ten years are allowed");
  }
  out.metadata_ttl = std::chrono::milliseconds(options.metadata_ttl_ms());
  if (options.block_size_bytes() != 0) out.block_size_bytes = options.block_size_bytes();
  if (options.page_size_bytes() != 0) out.page_size_bytes = options.page_size_bytes();
  out.writing = options.read_only() ? Settings::Writing::refused : Settings::Writing::allowed;
  switch (options.serve_stale()) {
    case proto::AttachmentOptions::ALWAYS: out.serve_stale = Settings::ServeStale::always; break;
    case proto::AttachmentOptions::UNTIL_TTL: out.serve_stale = Settings::ServeStale::until_ttl; break;
    case proto::AttachmentOptions::NEVER: out.serve_stale = Settings::ServeStale::never; break;
    default:
      return Error(Code::invalid_argument, "serve_stale has a value that this master does not know; check the client's version");
  }
  switch (options.placement()) {
    case proto::AttachmentOptions::LOCAL_FIRST: out.placement = Settings::Placement::local_first; break;
    case proto::AttachmentOptions::HASH: out.placement = Settings::Placement::hash; break;
    default:
      return Error(Code::invalid_argument, "placement has a value that this master does not know; check the client's version");
  }
  TRY(store_options, store_options_from_wire(options));
  out.store_options = std::move(store_options);
  return out;
}

void to_wire(const AttachmentRow& row, proto::Attachment& out) {
  out.set_id(row.id.value);
  out.set_path(row.path);
  out.set_uri(row.uri);
  to_wire(row.settings, *out.mutable_options());
  out.set_attached_at_ns(row.attached_at_ns);
}

namespace {

void to_wire(const TierFigures& tier, proto::TierInfo& out) {
  out.set_name(tier.name);
  out.set_directory(tier.directory);
  out.set_state(tier.state);
  out.set_reason(tier.reason);
  out.set_engine(tier.engine);
  out.set_fallback_reason(tier.fallback_reason);
  out.set_capacity_bytes(tier.capacity_bytes);
  out.set_used_bytes(tier.used_bytes);
  out.set_block_count(tier.block_count);
  out.set_read_bytes(tier.read_bytes);
  out.set_written_bytes(tier.written_bytes);
  out.set_evicted_bytes(tier.evicted_bytes);
  out.set_corrupt_pages(tier.corrupt_pages);
  out.set_unverified_pages(tier.unverified_pages);
}

Result<TierFigures> tier_from_wire(const proto::TierInfo& tier) {
  for (const std::string* text : {&tier.name(), &tier.directory(), &tier.state(), &tier.reason(), &tier.engine(), &tier.fallback_reason()}) {
    if (text->size() > max_text_bytes) {
      return Error(Code::invalid_argument, "a worker describes a tier with more than 1024 bytes in one field");
    }
  }
  return TierFigures{.name = tier.name(),
                     .directory = tier.directory(),
                     .state = tier.state(),
                     .reason = tier.reason(),
                     .engine = tier.engine(),
                     .fallback_reason = tier.fallback_reason(),
                     .capacity_bytes = tier.capacity_bytes(),
                     .used_bytes = tier.used_bytes(),
                     .block_count = tier.block_count(),
                     .read_bytes = tier.read_bytes(),
                     .written_bytes = tier.written_bytes(),
                     .evicted_bytes = tier.evicted_bytes(),
                     .corrupt_pages = tier.corrupt_pages(),
                     .unverified_pages = tier.unverified_pages()};
}

}  // namespace

void to_wire(const WorkerRow& worker, proto::WorkerInfo& out) {
  out.set_worker_id(worker.id.value);
  out.set_host(worker.figures.host);
  out.set_address(worker.figures.address);
  out.set_local_socket(worker.figures.local_socket);
  out.set_capacity_bytes(worker.figures.capacity_bytes);
  out.set_used_bytes(worker.figures.used_bytes);
  out.set_state(worker.state == WorkerState::live       ? proto::WorkerInfo::LIVE
                : worker.state == WorkerState::draining ? proto::WorkerInfo::DRAINING
                                                        : proto::WorkerInfo::LOST);
  out.set_since_heartbeat_ms(whole_ms(worker.since_heartbeat));
  out.set_version(worker.figures.version);
  out.set_block_count(worker.block_count);
  out.set_leased_bytes(worker.figures.leased_bytes);
  out.set_hit_bytes(worker.figures.hit_bytes);
  out.set_miss_bytes(worker.figures.miss_bytes);
  out.set_fetched_bytes(worker.figures.fetched_bytes);
  out.set_fetches(worker.figures.fetches);
  out.set_policy_version(worker.figures.policy_version);
  out.set_policy_problem(worker.figures.policy_problem);
  for (const TierFigures& tier : worker.figures.tiers) to_wire(tier, *out.add_tiers());
}

void to_wire(const std::vector<WorkerId>& workers, proto::BlockLocation& out) {
  for (const WorkerId worker : workers) out.add_worker_ids(worker.value);
}

Result<WorkerFigures> figures_from_wire(const proto::WorkerInfo& worker) {
  for (const std::string* text : {&worker.host(), &worker.address(), &worker.local_socket(), &worker.version(), &worker.policy_problem()}) {
    if (text->size() > max_text_bytes) {
      return Error(Code::invalid_argument, "a worker describes itself with more than 1024 bytes in one field");
    }
  }
  const Result<Address> address = Address::parse(worker.address());
  if (!address) {
    return Error(Code::invalid_argument, "a worker gave the address \"" + printable(worker.address()) +
                                             "\", which clients cannot connect to: " + address.error().message());
  }
  WorkerFigures out;
  out.host = worker.host();
  out.address = worker.address();
  out.local_socket = worker.local_socket();
  out.version = worker.version();
  out.capacity_bytes = worker.capacity_bytes();
  out.used_bytes = worker.used_bytes();
  out.leased_bytes = worker.leased_bytes();
  out.hit_bytes = worker.hit_bytes();
  out.miss_bytes = worker.miss_bytes();
  out.fetched_bytes = worker.fetched_bytes();
  out.fetches = worker.fetches();
  out.policy_version = worker.policy_version();
  out.policy_problem = worker.policy_problem();
  if (static_cast<std::size_t>(worker.tiers_size()) > max_tiers) {
    return Error(Code::invalid_argument, "a worker describes itself with more than " + std::to_string(max_tiers) + " tiers");
  }
  for (const proto::TierInfo& tier : worker.tiers()) {
    TRY(figures, tier_from_wire(tier));
    out.tiers.push_back(std::move(figures));
  }
  if (worker.state() == proto::WorkerInfo::DRAINING) out.mode = WorkerFigures::Mode::draining;
  return out;
}

Result<PresenceReport> report_from_wire(const proto::HeartbeatRequest& request) {
  PresenceReport out;
  out.worker = WorkerId{request.worker_id()};
  out.epoch = request.epoch();
  out.sequence = request.sequence();
  using Part = PresenceReport::Part;
  out.part = request.full_begin() ? (request.full_end() ? Part::whole : Part::first)
                                  : (request.full_end() ? Part::last : Part::middle);
  TRY(added, block_ids_from_wire(request.added_block_ids()));
  TRY(removed, block_ids_from_wire(request.removed_block_ids()));
  out.added = std::move(added);
  out.removed = std::move(removed);
  return out;
}

}  // namespace hearth::master
