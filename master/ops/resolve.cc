// resolve: what is needed to read one version of a file, besides where its blocks are.
#include "master/metadata_service.h"

namespace hearth::master {

namespace {

Status check_regular(const NamespacePath& path, FileType type) {
  switch (type) {
    case FileType::regular:
      return ok();
    case FileType::directory:
      return Error(Code::is_directory, printable(path.text()) + " is a directory; read the files in it");
    case FileType::symlink:
      return Error(Code::unsupported, printable(path.text()) + " is a symbolic link; read what it points to");
    case FileType::other:
      break;
  }
  return Error(Code::unsupported, printable(path.text()) + " is a device, socket or pipe; only regular files can be read");
}

// A reply carries every block of a file, and a frame has a bound: a sparse file of exabytes must not be one.
constexpr std::uint64_t max_reply_bytes = 6U << 20;
constexpr std::uint64_t block_overhead_bytes = 224;  // numbers of a block, its tenant and its locations

Status check_block_count(const NamespacePath& path, const Inode& inode, const AttachmentSettings& settings) {
  const std::uint64_t per_block = block_overhead_bytes + path.text().size() + inode.version.size();
  if (inode.length_bytes / settings.block_size_bytes < max_reply_bytes / per_block) return ok();
  return Error(Code::unsupported, printable(path.text()) + " has " + std::to_string(inode.length_bytes) +
                                      " bytes, too many blocks of " + std::to_string(settings.block_size_bytes) +
                                      " bytes; attach it with a larger block size");
}

}  // namespace

ResolvedView ResolvedView::of(const AttachmentRow& row, const std::string& store_path, FileView file) {
  ResolvedView out;
  out.blocks = cut_into_blocks(store_identity(row.uri, row.settings.store_options), row.id, store_path, file.inode.version,
                               file.inode.length_bytes, row.settings.block_size_bytes, row.settings.page_size_bytes);
  for (BlockRef& block : out.blocks) {
    block.file.uid = file.inode.uid;
    block.file.gid = file.inode.gid;
    block.file.mode = file.inode.mode & 07777;
  }
  out.file = std::move(file);
  out.store_uri = row.uri;
  out.settings = row.settings;
  return out;
}

Result<ResolvedView> MetadataService::readable(const NamespacePath& path, const FileView& file) const {
  CHECK_OK(check_regular(path, file.inode.type));
  TRY(row, still_attached(file.attachment));
  TRY(root, NamespacePath::parse(row.path));
  CHECK_OK(check_block_count(path, file.inode, row.settings));
  return ResolvedView::of(row, path.relative_to(root.components().size()), file);
}

Task<ResolvedView> MetadataService::resolve(NamespacePath path, Freshness freshness, Deadline deadline) {
  CO_TRY(file, co_await stat(path, freshness, deadline));
  co_return readable(path, file);
}

Task<ResolvedView> MetadataService::stat_for_opening(NamespacePath path, Freshness freshness, Deadline deadline) {
  CO_TRY(file, co_await stat(path, freshness, deadline));
  Result<ResolvedView> whole = readable(path, file);
  if (whole) co_return whole;
  ResolvedView only_status;
  only_status.file = std::move(file);
  co_return only_status;
}

}  // namespace hearth::master
