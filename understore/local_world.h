// A local store in a directory of its own, for tests.
#pragma once

#include "understore/conformance.h"
#include "understore/local_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace hearth {

class LocalWorld final : public StoreWorld {
 public:
  explicit LocalWorld(Clock& clock = real_clock(),
                      const std::filesystem::path& where = std::filesystem::temp_directory_path())
      : pool_(4, 1000) {
    std::string pattern = (where / "hearth-store-XXXXXX").string();
    base_ = ::mkdtemp(pattern.data());
    ::mkdir(at("").c_str(), 0755);
    ::chmod(base_.c_str(), 0755);
    auto opened = open_local_store("file://" + base_ + "/root", pool_, clock);
    EXPECT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(*opened);
  }
  ~LocalWorld() override {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(base_, ignored);
  }

  std::string at(const std::string& path) const { return base_ + "/root" + (path.empty() ? "" : "/") + path; }
  const std::string& base() const { return base_; }
  BlockingPool& pool() { return pool_; }

  UnderStore& store() override { return *store_; }
  void put_text(const std::string& path, const std::string& content) override {
    put_bytes(path, content, O_CREAT | O_TRUNC);
  }
  void put_sparse(const std::string& path, std::uint64_t length_bytes, const std::string& tail) override {
    put_text(path, "");
    EXPECT_EQ(::truncate(at(path).c_str(), static_cast<off_t>(length_bytes - tail.size())), 0);
    append(path, tail);
  }
  void put_directory(const std::string& path) override { EXPECT_EQ(::mkdir(at(path).c_str(), 0755), 0) << path; }
  void put_symlink(const std::string& path, const std::string& target) override {
    EXPECT_EQ(::symlink(target.c_str(), at(path).c_str()), 0) << path;
  }
  void put_special(const std::string& path) override { EXPECT_EQ(::mkfifo(at(path).c_str(), 0644), 0) << path; }
  void replace_secretly(const std::string& path, const std::string& content) override {
    struct stat before {};
    EXPECT_EQ(::stat(at(path).c_str(), &before), 0);
    put_bytes(path, content, 0);
    const timespec times[2] = {before.st_atim, before.st_mtim};
    EXPECT_EQ(::utimensat(AT_FDCWD, at(path).c_str(), times, 0), 0);
  }
  void append(const std::string& path, const std::string& more) override { put_bytes(path, more, O_APPEND); }
  void take_away(const std::string& path) override { EXPECT_EQ(::remove(at(path).c_str()), 0) << path; }
  // Beside the root, inside this world's own temporary directory.
  std::string outside() override {
    std::filesystem::create_directory(base_ + "/outside");
    std::ofstream(base_ + "/outside/decoy") << "decoy";
    return base_ + "/outside";
  }
  bool decoy_untouched() override {
    std::string text;
    std::ifstream(base_ + "/outside/decoy") >> text;
    return text == "decoy" && std::distance(std::filesystem::directory_iterator(base_ + "/outside"),
                                            std::filesystem::directory_iterator()) == 1;
  }
  void vanish() override {
    std::filesystem::rename(base_ + "/root", base_ + "/gone");
    // What was opened must not be found through the old descriptor either.
    std::filesystem::remove_all(base_ + "/gone");
  }

 private:
  void put_bytes(const std::string& path, const std::string& content, int flags) {
    const int fd = ::open(at(path).c_str(), O_WRONLY | O_CLOEXEC | flags, 0644);
    ASSERT_GE(fd, 0) << path;
    EXPECT_EQ(::write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    ::close(fd);
  }

  BlockingPool pool_;
  std::string base_;
  std::shared_ptr<UnderStore> store_;
};

}  // namespace hearth
