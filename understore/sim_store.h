// An under-store in memory whose behaviour is scripted: content by oracle, faults by call or by seed.
//
// Threads: any; one mutex guards the tree and the script and is never held while waiting.
// Owns:    the tree. Time is the Clock's, so delays and hangs cost no real time with a manual one.
// Fails:   as a store would, plus whatever the script says.
#pragma once

#include "common/clock.h"
#include "common/rng.h"
#include "understore/plain_store.h"

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace hearth {

enum class SimOp : std::uint8_t { stat, list, list_next, read, write, remove, rename, make_directory, upload, space };
inline constexpr std::size_t sim_op_count = 10;

struct SimFault {
  enum class Kind : std::uint8_t {
    fail,           // answers `code`
    delay,          // answers after `delay`, or deadline_exceeded at the deadline
    hang,           // never answers: deadline_exceeded at the deadline, or until cancelled
    short_bytes,    // read: half of the bytes, then io_error
    corrupt,        // read: one byte is wrong and nobody says so
    switch_before,  // read: the file is replaced just before (same length, next version)
    switch_during,  // read: the file is replaced between the first half of the bytes and the second
  };
  Kind kind = Kind::fail;
  Code code = Code::io_error;
  Duration delay{};
};

// Probability of each fault for every call; the seed decides which calls.
struct SimFaultRates {
  double fail = 0, delay = 0, hang = 0, short_bytes = 0, corrupt = 0, switch_before = 0, switch_during = 0;
  Code fail_code = Code::unavailable;
  Duration max_delay{};
};

enum class SimReachable : std::uint8_t { yes, no };

class SimStore final : public PlainStore {
 public:
  explicit SimStore(Clock& clock, std::string uri = "sim://test");
  ~SimStore() override;

  // The world behind the store. Parents must exist; false when they do not.
  // A file's bytes are oracle_byte(oracle_seed(path at creation), version number, offset); see oracle.h.
  bool put_file(std::string_view path, std::uint64_t length_bytes, std::uint64_t version_number = 1);
  bool put_text(std::string_view path, std::string content, std::uint32_t mode = 0644);
  bool put_directory(std::string_view path);
  bool put_symlink(std::string_view path, std::string target);
  bool put_other(std::string_view path);  // a FIFO or device
  // Next version of a file: new content, same length.
  bool replace_file(std::string_view path);
  bool take_away(std::string_view path);
  void set_reachable(SimReachable reachable);
  void set_space(std::optional<StoreSpace> space);

  // The script. Calls of each operation count from 0 since the store was made.
  void at_call(SimOp op, std::uint64_t call, SimFault fault);
  void at_next_call(SimOp op, SimFault fault) { at_call(op, calls(op), fault); }
  void random_faults(const SimFaultRates& rates, std::uint64_t seed);
  void no_more_faults();

  std::uint64_t calls(SimOp op) const { return calls_[static_cast<std::size_t>(op)].load(); }
  std::uint64_t bytes_read() const { return bytes_read_.load(); }

  std::string_view uri() const override { return uri_; }
  StoreCapabilities capabilities() const override;
  Task<ObjectInfo> stat(std::string path, Deadline deadline) override;
  Task<std::unique_ptr<Listing>> list(std::string path, Deadline deadline) override;
  Task<> read(std::string path, std::string version, std::uint64_t offset, std::span<std::byte> into,
              Deadline deadline) override;
  Task<ObjectInfo> write(std::string path, std::string content, Deadline deadline) override;
  Task<> remove(std::string path, Deadline deadline) override;
  Task<> rename(std::string from, std::string to, Deadline deadline) override;
  Task<ObjectInfo> make_directory(std::string path, std::uint32_t mode, Deadline deadline) override;
  // Reads the descriptor on the caller's thread.
  Task<ObjectInfo> upload(std::string path, StagedContent content, Deadline deadline) override;
  Task<std::optional<StoreSpace>> space(Deadline deadline) override;

 protected:
  std::string_view kind() const override { return "a simulated store"; }

 private:
  struct Node;
  class SimListing;
  using NodeHandle = std::shared_ptr<Node>;  // shared: a listing goes on in a directory that was removed
  struct Found {
    NodeHandle parent;
    std::string name;
    NodeHandle node;  // null: the parent exists, the entry does not
  };
  using MaybeFault = std::optional<SimFault>;

  // Counts the call, then waits or fails as the script says. A fault about bytes is returned.
  Task<MaybeFault> gate(SimOp op, std::string path, Deadline deadline);
  MaybeFault next_fault(SimOp op);
  MaybeFault random_fault();

  Result<ObjectInfo> replace(const std::string& path, std::string content, StagedContent::Replaces replaces);

  // All below: mutex_ held.
  Result<Found> find(std::string_view path) const;
  Result<Found> find_existing(std::string_view path) const;
  bool put(std::string_view path, NodeHandle node);
  NodeHandle make_node(FileType type, std::uint32_t mode);
  void changed(Node& node);
  ObjectInfo info_of(std::string_view name, const Node& node) const;
  Status check_readable(std::string_view path, std::string_view version, const Node& node, std::uint64_t end) const;
  static void copy_bytes(const Node& node, std::uint64_t offset, std::span<std::byte> into);

  // Set once.
  Clock& clock_;
  const std::string uri_;
  // Any thread.
  std::array<std::atomic<std::uint64_t>, sim_op_count> calls_{};
  std::atomic<std::uint64_t> bytes_read_{0};
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  NodeHandle root_;
  std::uint64_t next_inode_ = 1;
  SimReachable reachable_ = SimReachable::yes;
  std::optional<StoreSpace> space_;
  std::map<std::pair<SimOp, std::uint64_t>, SimFault> script_;
  SimFaultRates rates_;
  std::optional<SeededRng> rng_;
};

}  // namespace hearth
