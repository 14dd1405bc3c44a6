// hearth-check-metadata DIR: checks the data directory of a stopped master; for kill loops and for repair.
#include "master/metadata_check.h"
#include "master/rocksdb_meta_store.h"

#include <cstdio>

int main(int argc, char** argv) {
  using namespace hearth;
  if (argc != 2) {
    std::fputs("usage: hearth-check-metadata DATA_DIR (of a master that is not running)\n", stderr);
    return info(Code::invalid_argument).exit_code;
  }
  const auto opened = master::open_rocksdb_meta_store({.directory = argv[1]});
  const Result<master::MetadataSummary> checked = opened ? master::check_metadata(**opened) : opened.error();
  if (!checked) {
    std::fprintf(stderr, "hearth-check-metadata: %s\n", checked.error().message().c_str());
    return checked.code() == Code::corrupt ? 7 : info(checked.code()).exit_code;
  }
  for (const master::AttachmentRow& row : checked->attachments) {
    std::printf("attachment %u %s %s\n", row.id.value, row.path.c_str(), row.uri.c_str());
  }
  std::printf("consistent: %llu inodes, %llu entries, %zu attachments\n", static_cast<unsigned long long>(checked->inodes),
              static_cast<unsigned long long>(checked->entries), checked->attachments.size());
  return 0;
}
