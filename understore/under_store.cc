#include "understore/under_store.h"

namespace hearth {
namespace {

Error no_changes(std::string_view uri) {
  return Error(Code::read_only, "files of " + std::string(uri) + " can not be changed through Hearth; change them in the store itself");
}

}  // namespace

Task<ChangeResult> UnderStore::change(Change, Caller, Deadline) { co_return no_changes(uri()); }

Task<StoreFile> UnderStore::open_for_writing(OpenForWriting, Caller, Deadline) { co_return no_changes(uri()); }

Task<ObjectInfo> UnderStore::upload(std::string, StagedContent, Deadline) { co_return no_changes(uri()); }

Task<std::string> UnderStore::xattr(std::string path, std::string name, Caller, Deadline) {
  co_return Error(Code::not_found, path + " has no attribute " + name).with_error_number(ENODATA);
}

Task<std::vector<std::string>> UnderStore::xattr_names(std::string, Caller, Deadline) {
  co_return std::vector<std::string>();
}

Task<std::optional<StoreSpace>> UnderStore::space(Deadline) { co_return std::optional<StoreSpace>(); }

}  // namespace hearth
