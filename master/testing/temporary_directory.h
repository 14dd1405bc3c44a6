// A directory of a test's own, removed at the end.
#pragma once

#include <stdlib.h>

#include <cassert>
#include <filesystem>
#include <string>
#include <system_error>

namespace hearth::master {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hearth-master-XXXXXX").string();
    const char* made = ::mkdtemp(pattern.data());
    assert(made != nullptr);
    path_ = made;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace hearth::master
