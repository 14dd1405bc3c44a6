#include "understore/sim_store.h"

#include "common/file_io.h"
#include "understore/sim_tree.h"
#include "understore/store_path.h"

namespace hearth {

class SimStore::SimListing final : public Listing {
 public:
  SimListing(SimStore& store, NodeHandle directory, std::string path)
      : store_(store), directory_(std::move(directory)), path_(std::move(path)) {}

  Task<std::vector<ObjectInfo>> next(std::size_t limit, Deadline deadline) override {
    CO_CHECK_OK(co_await store_.gate(SimOp::list_next, path_, deadline));
    const std::lock_guard lock(store_.mutex_);
    std::vector<ObjectInfo> entries;
    auto child = last_ ? directory_->children.upper_bound(*last_) : directory_->children.begin();
    for (; child != directory_->children.end() && entries.size() < limit; ++child) {
      entries.push_back(store_.info_of(child->first, *child->second));
    }
    if (!entries.empty()) last_ = entries.back().name;
    co_return entries;
  }

 private:
  SimStore& store_;
  const NodeHandle directory_;
  const std::string path_;
  std::optional<std::string> last_;
};

SimStore::SimStore(Clock& clock, std::string uri) : clock_(clock), uri_(std::move(uri)) {
  root_ = make_node(FileType::directory, 0755);
}
SimStore::~SimStore() = default;

StoreCapabilities SimStore::capabilities() const {
  return StoreCapabilities{.writable = true, .keeps_set_attributes = false, .directory_version_tracks_entries = true, .writing = StoreCapabilities::Writing::staged};
}

void SimStore::set_reachable(SimReachable reachable) {
  const std::lock_guard lock(mutex_);
  reachable_ = reachable;
}

void SimStore::set_space(std::optional<StoreSpace> space) {
  const std::lock_guard lock(mutex_);
  space_ = std::move(space);
}

Task<std::optional<StoreSpace>> SimStore::space(Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::space, "", deadline));
  const std::lock_guard lock(mutex_);
  co_return space_;
}

void SimStore::at_call(SimOp op, std::uint64_t call, SimFault fault) {
  const std::lock_guard lock(mutex_);
  script_[{op, call}] = fault;
}

void SimStore::random_faults(const SimFaultRates& rates, std::uint64_t seed) {
  const std::lock_guard lock(mutex_);
  rates_ = rates;
  rng_.emplace(seed);
}

void SimStore::no_more_faults() {
  const std::lock_guard lock(mutex_);
  script_.clear();
  rng_.reset();
}

SimStore::MaybeFault SimStore::next_fault(SimOp op) {
  const std::uint64_t call = calls_[static_cast<std::size_t>(op)].fetch_add(1);
  const std::lock_guard lock(mutex_);
  if (reachable_ == SimReachable::no) return SimFault{.kind = SimFault::Kind::fail, .code = Code::unavailable};
  if (const auto scripted = script_.find({op, call}); scripted != script_.end()) return scripted->second;
  return rng_ ? random_fault() : std::nullopt;
}

SimStore::MaybeFault SimStore::random_fault() {
  using Kind = SimFault::Kind;
  double left = rng_->fraction();
  const std::array<std::pair<Kind, double>, 7> choices{{{Kind::fail, rates_.fail},
                                                        {Kind::delay, rates_.delay},
                                                        {Kind::hang, rates_.hang},
                                                        {Kind::short_bytes, rates_.short_bytes},
                                                        {Kind::corrupt, rates_.corrupt},
                                                        {Kind::switch_before, rates_.switch_before},
                                                        {Kind::switch_during, rates_.switch_during}}};
  for (const auto& [kind, rate] : choices) {
    if (left < rate) {
      const double share = rng_->fraction();
      const auto delay = Duration(static_cast<Duration::rep>(share * static_cast<double>(rates_.max_delay.count())));
      return SimFault{.kind = kind, .code = rates_.fail_code, .delay = delay};
    }
    left -= rate;
  }
  return std::nullopt;
}

Task<SimStore::MaybeFault> SimStore::gate(SimOp op, std::string path, Deadline deadline) {
  const MaybeFault fault = next_fault(op);
  const Error late(Code::deadline_exceeded, printable_path(path) + " in " + uri_ + " was not answered in time");
  if (deadline.expired(clock_.now())) co_return late;
  if (!fault) co_return fault;
  if (fault->kind == SimFault::Kind::fail) {
    co_return Error(fault->code, printable_path(path) + " in " + uri_ + ": scripted " + std::string(name(fault->code)));
  }
  if (fault->kind == SimFault::Kind::delay || fault->kind == SimFault::Kind::hang) {
    const bool hangs = fault->kind == SimFault::Kind::hang;
    const TimePoint answer = hangs ? TimePoint::max() : clock_.now() + fault->delay;
    const TimePoint until = deadline.when() < answer ? deadline.when() : answer;
    CO_CHECK_OK(co_await clock_.sleep_until(until));
    if (until != answer || hangs) co_return late;
    co_return MaybeFault();
  }
  co_return fault;
}

Task<ObjectInfo> SimStore::stat(std::string path, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::stat, path, deadline));
  const std::lock_guard lock(mutex_);
  CO_TRY(found, find_existing(path));
  co_return info_of(found.name, *found.node);
}

Task<std::unique_ptr<Listing>> SimStore::list(std::string path, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::list, path, deadline));
  const std::lock_guard lock(mutex_);
  CO_TRY(found, find_existing(path));
  if (found.node->type == FileType::symlink) {
    co_return Error(Code::not_directory, printable_path(path) + " is a symlink");
  }
  if (found.node->type != FileType::directory) {
    co_return Error(Code::not_directory, printable_path(path) + " is not a directory");
  }
  std::unique_ptr<Listing> listing = std::make_unique<SimListing>(*this, found.node, path);
  co_return listing;
}

Status SimStore::check_readable(std::string_view path, std::string_view version, const Node& node,
                                std::uint64_t end) const {
  if (node.type == FileType::directory) return Error(Code::is_directory, printable_path(path) + " is a directory");
  if (node.type == FileType::symlink) return Error(Code::symlink_loop, printable_path(path) + " is a symlink");
  if (node.type == FileType::other) return Error(Code::unsupported, printable_path(path) + " is not a regular file");
  if ((node.mode & 0444) == 0) return Error(Code::permission_denied, printable_path(path) + " may not be read");
  if (info_of("", node).version != version || end > node.length_bytes) {
    return Error(Code::stale, printable_path(path) + " changed underneath; open it again");
  }
  return ok();
}

Task<> SimStore::read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
                      Deadline deadline) {
  using Kind = SimFault::Kind;
  CO_TRY(fault, co_await gate(SimOp::read, path, deadline));
  if (fault && fault->kind == Kind::switch_before) replace_file(path);
  const std::size_t half = into.size() / 2;
  {
    const std::lock_guard lock(mutex_);
    CO_TRY(found, find_existing(path));
    CO_CHECK_OK(check_readable(path, version, *found.node, offset + into.size()));
    copy_bytes(*found.node, offset, into.first(half));
  }
  if (fault && fault->kind == Kind::short_bytes) {
    co_return Error(Code::io_error, printable_path(path) + ": the store cut the answer short");
  }
  if (fault && fault->kind == Kind::switch_during) replace_file(path);
  const std::lock_guard lock(mutex_);
  CO_TRY(again, find_existing(path));
  if (again.node->type == FileType::regular && offset + into.size() <= again.node->length_bytes) {
    copy_bytes(*again.node, offset + half, into.subspan(half));
  }
  CO_CHECK_OK(check_readable(path, version, *again.node, offset + into.size()));
  bytes_read_.fetch_add(into.size());
  if (fault && fault->kind == Kind::corrupt && !into.empty()) into[half] ^= std::byte{0x20};
  co_return ok();
}

Result<ObjectInfo> SimStore::replace(const std::string& path, std::string content, StagedContent::Replaces replaces) {
  const std::lock_guard lock(mutex_);
  TRY(found, find(path));
  if (found.parent == nullptr) return Error(Code::invalid_argument, "the root can not be replaced");
  if (found.node != nullptr && replaces == StagedContent::Replaces::nothing) return Error(Code::already_exists, printable_path(path) + " exists already");
  if (found.node != nullptr && found.node->type == FileType::directory) return Error(Code::is_directory, printable_path(path) + " is a directory");
  const NodeHandle node = make_node(FileType::regular, found.node != nullptr ? found.node->mode : 0644);
  node->literal = true;
  node->length_bytes = content.size();
  node->text = std::move(content);
  found.parent->children[found.name] = node;
  changed(*found.parent);
  return info_of(found.name, *node);
}

Task<ObjectInfo> SimStore::write(std::string path, std::string content, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::write, path, deadline));
  co_return replace(path, std::move(content), StagedContent::Replaces::anything);
}

Task<ObjectInfo> SimStore::upload(std::string path, StagedContent content, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::upload, path, deadline));
  std::string bytes(content.length_bytes, '\0');
  const std::span<std::byte> into = std::as_writable_bytes(std::span(bytes));
  if (!bytes.empty()) {
    CO_TRY(count, read_at(content.fd, into, 0, "the staged content of " + path));
    if (count != bytes.size()) co_return Error(Code::stale, "the staged content of " + path + " was cut while it was uploaded");
  }
  co_return replace(path, std::move(bytes), content.replaces);
}

Task<> SimStore::remove(std::string path, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::remove, path, deadline));
  const std::lock_guard lock(mutex_);
  CO_TRY(found, find_existing(path));
  if (found.parent == nullptr) co_return Error(Code::invalid_argument, "the root can not be removed");
  if (!found.node->children.empty()) co_return Error(Code::not_empty, printable_path(path) + " is not empty");
  found.parent->children.erase(found.name);
  changed(*found.parent);
  co_return ok();
}

Task<> SimStore::rename(std::string from, std::string to, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::rename, from, deadline));
  const std::lock_guard lock(mutex_);
  CO_TRY(source, find_existing(from));
  CO_TRY(target, find(to));
  const bool roots = source.parent == nullptr || target.parent == nullptr;
  if (roots || (to + "/").starts_with(from + "/")) {
    if (from == to && !roots) co_return ok();
    co_return Error(Code::invalid_argument, "a directory can not be moved into itself");
  }
  if (target.node != nullptr) {
    const bool source_directory = source.node->type == FileType::directory;
    const bool target_directory = target.node->type == FileType::directory;
    if (target_directory && !source_directory) co_return Error(Code::is_directory, printable_path(to) + " is a directory");
    if (!target_directory && source_directory) co_return Error(Code::not_directory, printable_path(to) + " is no directory");
    if (!target.node->children.empty()) co_return Error(Code::not_empty, printable_path(to) + " is not empty");
  }
  source.parent->children.erase(source.name);
  target.parent->children[target.name] = source.node;
  changed(*source.node);
  changed(*source.parent);
  changed(*target.parent);
  co_return ok();
}

Task<ObjectInfo> SimStore::make_directory(std::string path, std::uint32_t mode, Deadline deadline) {
  CO_CHECK_OK(co_await gate(SimOp::make_directory, path, deadline));
  const std::lock_guard lock(mutex_);
  CO_TRY(found, find(path));
  if (found.node != nullptr) co_return Error(Code::already_exists, printable_path(path) + " exists already");
  const NodeHandle node = make_node(FileType::directory, mode);
  found.parent->children[found.name] = node;
  changed(*found.parent);
  co_return info_of(found.name, *node);
}

}  // namespace hearth
