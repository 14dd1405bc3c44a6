// The namespace against a reference model under random operations, restarts and power cuts.
// The seed is printed and taken from HEARTH_SEED.
#include "common/rng.h"
#include "master/memory_meta_store.h"
#include "master/metadata_check.h"
#include "master/namespace.h"

#include <gtest/gtest.h>

#include <random>

namespace hearth::master {
namespace {

ObjectInfo object(FileType type, const std::string& version) {
  ObjectInfo out;
  out.type = type;
  out.version = version;
  return out;
}

NamespacePath path_of(const std::string& text) { return *NamespacePath::parse(text); }

struct Model {
  std::map<std::string, std::uint32_t> attachments;                   // path -> id
  std::map<std::uint32_t, std::map<std::string, std::string>> files;  // id -> name -> version
};

class ModelRun {
 public:
  explicit ModelRun(std::uint64_t seed) : rng_(seed) { reopen(); }

  void step(int number) {
    number_ = number;
    now_ = tree_->next_moment(TimePoint(std::chrono::seconds(number)));
    const Model before = model_;
    const std::string& path = paths_[rng_.below(paths_.size())];
    switch (rng_.below(8)) {
      case 0: attach(path); break;
      case 1: detach(path); break;
      case 2: ASSERT_TRUE(tree_->reap(rng_.below(3) + 1)); break;
      case 3:
        if (rng_.below(10) == 0) restart();
        break;
      case 4:
        if (rng_.below(20) == 0) acknowledge();
        break;
      default: change_a_file(path);
    }
    // Reserving inode ids syncs before the operation's own write: what was there before it is durable too.
    if (store_.sync_count() != syncs_seen_ && synced_.files != model_.files) synced_ = before;
    syncs_seen_ = store_.sync_count();
    check();
  }

 private:
  void reopen() {
    Result<std::unique_ptr<Namespace>> opened = Namespace::open(store_, 1);
    ASSERT_TRUE(opened) << opened.error().to_string();
    tree_ = std::move(*opened);
  }
  void acknowledge() {
    ASSERT_TRUE(store_.sync());
    synced_ = model_;
  }
  void restart() {
    tree_.reset();
    if (rng_.below(2) == 0) {
      store_.lose_unsynced();
      model_ = synced_;
    }
    reopen();
    synced_ = model_;  // opening syncs
  }
  void attach(const std::string& path) {
    AttachmentRow wanted;
    wanted.path = path;
    const Result<AttachmentRow> made = tree_->attach(wanted, object(FileType::directory, "r"), now_);
    ASSERT_EQ(made.has_value(), !model_.attachments.contains(path));
    if (!made) return;
    model_.attachments[path] = made->id.value;
    model_.files[made->id.value];
    acknowledge();
  }
  void detach(const std::string& path) {
    bool nested = false;
    for (const auto& [other, id] : model_.attachments) {
      nested = nested || (other != path && path_of(path).contains(path_of(other)));
    }
    const Status gone = tree_->detach(path_of(path));
    ASSERT_EQ(gone.has_value(), model_.attachments.contains(path) && !nested) << path;
    if (!gone) return;
    model_.files.erase(model_.attachments[path]);
    model_.attachments.erase(path);
    acknowledge();
  }
  void change_a_file(const std::string& path) {
    const AttachmentRow* row = tree_->attachments().at(path);
    if (row == nullptr) return;
    const std::string name = "n" + std::to_string(rng_.below(5));
    auto& files = model_.files[row->id.value];
    if (rng_.below(3) == 0) {
      ASSERT_TRUE(tree_->remove(row->root, name, now_));
      files.erase(name);
      return;
    }
    const std::string version = "l1-" + std::to_string(rng_.below(3)) + "-" + std::to_string(number_) + "-1";
    const FileType type = rng_.below(4) == 0 ? FileType::directory : FileType::regular;
    ASSERT_TRUE(tree_->upsert(row->root, name, object(type, version), now_));
    files[name] = version;
  }
  void check() {
    ASSERT_EQ(tree_->attachments().size(), model_.attachments.size());
    for (const auto& [path, id] : model_.attachments) {
      const AttachmentRow* row = tree_->attachments().at(path);
      ASSERT_NE(row, nullptr) << path;
      ASSERT_EQ(row->id.value, id);
      const Result<std::vector<Child>> children = tree_->children(row->root, "", 1000);
      ASSERT_TRUE(children);
      std::map<std::string, std::string> names;
      for (const Child& child : *children) names[child.name] = child.inode.version;
      ASSERT_EQ(names, model_.files.at(id)) << path;
    }
    if (number_ % 50 != 0) return;
    const Result<MetadataSummary> checked = check_metadata(store_);
    ASSERT_TRUE(checked) << checked.error().to_string();
  }

  const std::vector<std::string> paths_{"/", "/a", "/a/b", "/a/b/c", "/d/e", "/d/f"};
  SeededRng rng_;
  MemoryMetaStore store_;
  std::unique_ptr<Namespace> tree_;
  Model model_;
  Model synced_;  // what a power cut would leave
  Moment now_;
  int number_ = 0;
  std::uint64_t syncs_seen_ = 0;
};

TEST(NamespaceModel, HoldsUnderRandomOperationsRestartsAndPowerCuts) {
  const char* given = std::getenv("HEARTH_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("HEARTH_SEED=%llu\n", static_cast<unsigned long long>(seed));
  ModelRun run(seed);
  for (int step = 0; step < 3000; ++step) {
    run.step(step);
    ASSERT_FALSE(HasFatalFailure()) << "step " << step << " of HEARTH_SEED=" << seed;
  }
}

}  // namespace
}  // namespace hearth::master
