// The namespace as clients see it: answers from what is known while it is fresh, asks the under-store
// when it is not, and never takes "could not ask" for "does not exist".
//
// Freshness: an answer is good when the store was asked no earlier than `metadata_ttl` before the request came
//          (0: after the request came). Concurrent questions about one path are one question.
// Threads: confined to the namespace executor. RocksDB reads happen on it; syncs and store opening on the pool.
// Owns:    the namespace, the open under-stores, its tasks. await stop() before destruction.
// Fails:   not_found, not_directory, ... as the store said; unavailable and deadline_exceeded when it could not be
//          asked and nothing older may be served (serve_stale of the attachment).
#pragma once

#include "common/blocking.h"
#include "common/task_group.h"
#include "master/flight.h"
#include "master/list_ahead.h"
#include "master/metadata_options.h"
#include "master/namespace.h"
#include "master/negative_cache.h"
#include "master/policy_store.h"
#include "master/s3_events.h"
#include "master/store_set.h"
#include "master/sync_group.h"
#include "master/tree_moves.h"
#include "master/views.h"
#include "tiering/policy/policy.h"

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hearth::master {

class MetadataService {
 public:
  struct Parts {
    Executor executor;  // runs one handler at a time
    Clock& clock;
    MetaStore& store;
    BlockingPool& sync_pool;   // for the log alone: a store that hangs must not keep an attach from being durable
    BlockingPool& store_pool;
    StoreOpener open_store;
  };
  static Result<std::unique_ptr<MetadataService>> open(Parts parts, MetadataOptions options,
                                                       std::uint64_t fresh_cluster_id);
  ~MetadataService();

  Task<FileView> stat(NamespacePath path, Freshness freshness, Deadline deadline);
  // At most `limit` entries whose names follow `after`, in byte order, nested attachment points included.
  Task<ListView> list(NamespacePath path, std::string after, std::size_t limit, Deadline deadline);
  // is_directory, unsupported unless it is a regular file.
  Task<ResolvedView> resolve(NamespacePath path, Freshness freshness, Deadline deadline);
  // As stat(), and for a regular file what resolve() says; `store_uri` is empty where that says an error.
  Task<ResolvedView> stat_for_opening(NamespacePath path, Freshness freshness, Deadline deadline);
  // ops/change.cc. Makes the change in the under-store, in the name of `caller`, and records what it did before it ends: who
  // asks afterwards sees it. read_only (the attachment, or its store); what the store's system call said, with its errno;
  // busy (a mount point of an attachment); unsupported with EXDEV (names of two attachments).
  // A rename that takes long goes on under the number `move`, or one that is chosen here; see moved().
  Task<ChangedView> change(Change change, Caller caller, Deadline deadline, std::uint64_t move = 0);
  // ops/move.cc. Of a rename that change() left going on (ChangedView::move): what change() would have said, or that it still does.
  Task<ChangedView> moved(std::uint64_t move, Deadline deadline);
  bool under_way(const std::string& path) const;  // of the attachment there: whether it has moves that are not done
  Task<RemovedView> remove_tree(NamespacePath path, Caller caller, Deadline deadline);  // a part of it; root alone. unsupported: name by name
  // The value of an extended attribute, asked of the store; not_found with ENODATA. Without a name: the names of all.
  struct Xattrs {
    std::string value;
    std::vector<std::string> names;
  };
  Task<Xattrs> xattrs(NamespacePath path, std::string name, Caller caller, Deadline deadline);
  Task<SpaceView> space(NamespacePath path, Deadline deadline);  // ops/space.cc; of a store that is away, what it last said
  // Durable when it ends. Verifies that the store's root is a directory that can be listed.
  Task<AttachmentRow> attach(NamespacePath path, std::string uri, AttachmentSettings settings, Deadline deadline);
  Task<> detach(NamespacePath path, Deadline deadline);
  // Called on the executor after each acknowledged change, and once at the start.
  void on_attachments_changed(std::function<void(AttachmentsView)> handler);
  // ops/policy.cc. Version 0 stands for the one in force.
  Task<PolicyRow> policy(std::uint64_t version);
  Task<std::vector<PolicyRow>> policy_versions();  // the newest first
  // Whom the names of owners in this policy mean on this host, now.
  Task<std::vector<policy::UserId>> policy_users(std::string text);
  Task<PolicyRow> apply_policy(std::string text, PolicyChange change, Deadline deadline);
  Task<PolicyRow> roll_policy_back(std::uint64_t version, PolicyChange change, Deadline deadline);
  // Before anything is served: applies `text` durably if no policy was ever applied. Answers the one in force.
  Result<PolicyRow> begin_with_policy(std::string text);
  // Called on the executor with the version in force: now, and after each acknowledged change.
  void on_policy_changed(std::function<void(std::uint64_t)> handler);
  // The next known files at or below the walk's root (at most a turn's worth), asking no store.
  Result<std::vector<ResolvedView>> cached_files(FileWalk& walk);

  // Called on the executor with what was learned of names that had been asked about before: by questions to stores, not by
  // changes, which answer their own. Only while somebody listens.
  void on_news(std::function<void(std::vector<NameNews>)> handler) { news_ = std::move(handler); }
  void listen_for_news(Listening listening) { listening_ = listening; }  // from any thread

  // A store told that these changed: asks about them now. How many are in some attachment; overloaded, then none of the
  // rest was taken.
  Task<std::uint64_t> store_changed(std::vector<StoreEvent> events);

  std::uint64_t cluster_id() const { return namespace_->cluster_id(); }
  std::uint64_t run() const { return namespace_->run(); }
  std::uint64_t inode_count() const { return namespace_->inode_count(); }
  Namespace& tree() { return *namespace_; }
  Task<> stop(Deadline deadline);

 private:
  // What a request counts as fresh, fixed when it begins.
  struct Reader {
    AttachmentRow attachment;
    std::size_t depth = 0;      // components of the attachment's path
    Moment not_before;          // answers asked earlier are not current
    Freshness freshness = Freshness::cached;
    Deadline deadline;
  };
  // Either an answer, or the path inside the store to ask about first.
  struct Lookup {
    std::optional<Result<Inode>> answer;
    Moment checked;              // of the answer
    std::optional<Inode> known;  // the leaf as last known, current or not
    std::string ask;
    InodeId parent;              // of the leaf
  };
  using StatFlight = Flight<Inode>;

  MetadataService(Parts parts, MetadataOptions options);

  // ops/stat.cc
  Reader reader_for(const AttachmentRow& row, Freshness freshness, Deadline deadline);
  bool is_fresh(const Reader& reader, Moment checked) const;
  FileView view(const Reader& reader, const NamespacePath& path, Inode inode, Moment checked) const;
  FileView virtual_view(const NamespacePath& path) const;
  Result<Lookup> lookup(const Reader& reader, const NamespacePath& path);
  Result<Lookup> lookup_leaf(const Reader& reader, const NamespacePath& path, InodeId parent);
  Result<bool> names_are_fresh(const Reader& reader, const Inode& directory);
  Task<FileView> stat_in(Reader reader, NamespacePath path);
  Result<FileView> stale_view(const Reader& reader, const NamespacePath& path, const Lookup& found, Error error) const;

  // ops/ask.cc
  std::shared_ptr<StatFlight> start_ask(AttachmentId attachment, const std::string& store_path);
  Task<Inode> ask(Reader reader, std::string store_path);
  Task<> run_ask(AttachmentId attachment, std::string store_path, std::shared_ptr<StatFlight> flight);
  Result<Inode> record_answer(AttachmentId attachment, const std::string& store_path, Result<ObjectInfo> answer,
                              Moment asked);
  // news.cc: the same, and what is new about it. A change is news in any case; what a look found, when it differs.
  enum class Learned : std::uint8_t { by_change, by_looking, by_question };
  Result<Inode> record_and_tell(AttachmentId attachment, const std::string& store_path, Result<ObjectInfo> answer,
                                Moment asked, Learned how, std::vector<NameNews>& news);
  std::optional<Inode> known_inode(const AttachmentRow& row, const std::string& store_path);
  Result<std::optional<InodeId>> parent_of(const AttachmentRow& row, const std::vector<std::string>& components);

  // ops/change.cc
  struct Place {
    AttachmentRow attachment;
    NamespacePath path;
    std::string store_path;
  };
  Result<Place> place_to_change(const std::string& path) const;
  // Changes of one name are made, and recorded, one after the other.
  using ChangeKey = std::pair<AttachmentId, std::string>;
  Task<> enter_change(std::vector<ChangeKey> keys, std::shared_ptr<Flight<>> mine, std::optional<TreeMoves::Takes> takes, Deadline deadline);
  void leave_change(const std::vector<ChangeKey>& keys, const std::shared_ptr<Flight<>>& mine);
  // The names a change has to do with: `other` is of a Rename or MakeLink.
  struct Places {
    Place object;
    std::optional<Place> other;
  };
  Result<Places> places_of(const Change& change) const;
  // Of a store without users: what a local file system would ask, of what is recorded. permission_denied.
  Task<> check_rights(const Change& change, const Places& places, const Caller& caller, Deadline deadline);
  // What a change gives the object that its store does not keep; nothing: nothing.
  Task<Namespace::KeptAttributes> attributes_after(const Change& change, const Places& places, const Caller& caller, Deadline deadline);
  Result<std::optional<FileView>> record_touched(const Place& object, const std::vector<Touched>& touched, Learned how,
                                                 std::vector<NameNews>& news);

  // ops/move.cc
  Task<std::optional<std::uint64_t>> begin_move(UnderStore* store, Rename rename, MoveRow row, std::shared_ptr<Flight<>> mine, Deadline deadline);
  Task<> let_end_below(AttachmentId attachment, TreePair trees, std::shared_ptr<Flight<>> mine, Deadline deadline);
  void record_rename(const Places& places);
  std::vector<NameNews> news_of(const MoveRow& row) const;

  // ops/events.cc
  Task<> revalidate(NamespacePath path, StoreEvent event);

  // ops/load.cc
  void list_ahead(const Reader& reader, const Lookup& asking);
  Task<> load_ahead(Reader reader, std::string store_path, InodeId directory);
  enum class Page : std::uint8_t { first, later };
  Task<> ensure_listed(Reader reader, NamespacePath path, InodeId directory, Page page);
  Task<> load_shared(Reader reader, std::string store_path, InodeId directory);
  Task<> run_load(AttachmentId attachment, std::string store_path, InodeId directory, std::shared_ptr<Flight<>> flight);
  Task<> load_directory(AttachmentId attachment, std::string store_path, InodeId directory);
  using LoadPlace = std::pair<AttachmentId, std::string>;
  using BatchFlight = Flight<std::vector<ObjectInfo>>;
  std::shared_ptr<BatchFlight> start_batch(const std::shared_ptr<Listing>& listing);
  Task<> run_batch(std::shared_ptr<Listing> listing, std::shared_ptr<BatchFlight> flight);
  Task<> load_entries(std::shared_ptr<UnderStore> store, LoadPlace place, std::shared_ptr<LoadProgress> load);
  Task<> sweep_stores();
  Task<> sweep_load(LoadPlace place, std::shared_ptr<LoadProgress> load);
  Status still_there(const LoadPlace& place, const LoadProgress& load) const;
  Task<> give_turn();
  void kick_cleaner();
  bool must_trim() const;
  Task<> clean();
  Task<> trim();

  // ops/list.cc
  Task<std::vector<Child>> page_of(Reader reader, NamespacePath path, InodeId directory, std::string after,
                                   std::size_t limit);
  Task<> refresh_children(Reader reader, NamespacePath path, std::vector<std::string> names);
  Task<ListView> list_virtual(NamespacePath path, std::vector<std::string> overlay, std::size_t limit, Deadline deadline);

  Task<> run_room(AttachmentId attachment, std::shared_ptr<Flight<>> flight);
  Result<AttachmentRow> still_attached(AttachmentId id) const;
  Result<ResolvedView> readable(const NamespacePath& path, const FileView& file) const;
  void publish_attachments();
  void publish_policy(const PolicyRow& row);

  // Set once
  Parts parts_;
  MetadataOptions options_;
  std::unique_ptr<Namespace> namespace_;
  std::unique_ptr<PolicyStore> policies_;
  std::function<void(AttachmentsView)> attachments_changed_;
  std::function<void(std::uint64_t)> policy_changed_;
  std::function<void(std::vector<NameNews>)> news_;
  std::atomic<Listening> listening_{Listening::off};

  // Namespace thread only
  TaskGroup tasks_;
  TaskGroup upkeep_;  // ends when it is told to, not when it is done
  WaitBoard board_;
  SyncGroup sync_;
  StoreSet stores_;
  NegativeCache negatives_;
  std::unique_ptr<TreeMoves> moves_;
  std::uint64_t published_policy_ = 0;
  std::size_t events_under_way_ = 0;
  std::map<std::pair<AttachmentId, std::string>, std::shared_ptr<StatFlight>> asks_;
  std::map<InodeId, std::shared_ptr<Flight<>>> loads_;
  std::map<ChangeKey, std::shared_ptr<Flight<>>> changes_;
  std::map<AttachmentId, StoreRoom> rooms_;
  ListAhead list_ahead_;
  std::set<InodeId> loads_ahead_;  // of loads_, those that no listing waits for
  enum class Cleaner : std::uint8_t { idle, running } cleaner_ = Cleaner::idle;
  TimePoint next_trim_ = TimePoint::min();
};

}  // namespace hearth::master
