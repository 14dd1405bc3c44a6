// Calls for many names or ranges at once: what is known is answered on the caller's thread, the rest goes out together.
#include "client/src/client_impl.h"

#include "client/src/batch_reader.h"

#include <algorithm>

namespace hearth {
namespace {

// What has to be asked for, and where its answers go.
struct Asking {
  std::vector<std::string> paths;
  std::vector<std::size_t> where;
};

template <class T, class U, class Convert>
void hand_out(Result<std::vector<Result<U>>> answers, const Asking& asking, std::vector<Result<T>>& out, Convert convert) {
  for (std::size_t i = 0; i < asking.where.size(); ++i) {
    Result<T>& place = out[asking.where[i]];
    if (!answers) {
      place = answers.error();
    } else if (!(*answers)[i]) {
      place = std::move((*answers)[i]).error();
    } else {
      place = convert(std::move(*(*answers)[i]));
    }
  }
}

Error not_of_this_client(const File& file) {
  if (file.path().empty()) return Error(Code::invalid_argument, "this file was never opened");
  return Error(Code::invalid_argument, file.path() + " was opened by another client; read it with that one");
}

}  // namespace

Task<std::vector<Result<FileStatus>>> ClientImpl::stat_many(std::vector<std::string> paths) {
  return parts_->resolver.stat_many(std::move(paths));
}

Task<std::vector<Result<std::shared_ptr<FileImpl>>>> ClientImpl::open_many(std::vector<std::string> paths) {
  CO_TRY(found, co_await parts_->resolver.resolve_many(paths));
  std::vector<Result<std::shared_ptr<FileImpl>>> files;
  files.reserve(paths.size());
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Result<client::ResolutionPtr> one = std::move(found[i]);
    const bool leads_on = one ? (*one)->status.type == EntryType::symlink : one.code() == Code::not_directory;
    if (leads_on) one = co_await parts_->resolver.follow(paths[i], metadata_deadline());
    Result<std::shared_ptr<FileImpl>> file = one ? opened(std::move(paths[i]), std::move(*one))
                                                 : Result<std::shared_ptr<FileImpl>>(std::move(one).error());
    files.push_back(std::move(file));
  }
  co_return files;
}

Task<> ClientImpl::read_many(client::PendingReads reads) {
  return parts_->batches.read(std::move(reads), Deadline::after(clock_, options_.read_deadline));
}

std::vector<Result<FileStatus>> Client::stat_many(std::span<const std::string> paths) const {
  if (const Status usable = impl_->usable(); !usable) return {paths.size(), usable.error()};
  std::vector<Result<FileStatus>> out(paths.size());
  Asking asking;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (Status checked = client::check_path(paths[i]); !checked) {
      out[i] = std::move(checked).error();
    } else if (auto known = impl_->resolver().cached_status(paths[i])) {
      out[i] = std::move(*known);
    } else {
      asking.paths.push_back(paths[i]);
      asking.where.push_back(i);
    }
  }
  if (asking.paths.empty()) return out;
  auto answers = impl_->wait(impl_->stat_many(std::move(asking.paths)));
  hand_out(std::move(answers), asking, out, [](FileStatus status) { return status; });
  return out;
}

std::vector<Result<File>> Client::open_many(std::span<const std::string> paths) const {
  if (const Status usable = impl_->usable(); !usable) return {paths.size(), usable.error()};
  std::vector<Result<File>> out(paths.size());
  Asking asking;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (Status checked = client::check_path(paths[i]); !checked) {
      out[i] = std::move(checked).error();
      continue;
    }
    client::ResolutionPtr known = impl_->resolver().cached(paths[i]);
    if (known && known->status.type != EntryType::symlink) {
      auto file = impl_->opened(paths[i], std::move(known));
      out[i] = file ? Result<File>(File(std::move(*file))) : Result<File>(std::move(file).error());
      continue;
    }
    asking.paths.push_back(paths[i]);
    asking.where.push_back(i);
  }
  if (asking.paths.empty()) return out;
  auto answers = impl_->wait(impl_->open_many(std::move(asking.paths)));
  hand_out(std::move(answers), asking, out, [](std::shared_ptr<FileImpl> file) { return File(std::move(file)); });
  return out;
}

Status Client::read_many(std::span<ReadItem> items) const {
  CHECK_OK(impl_->usable());
  client::PendingReads pending;
  std::vector<std::size_t> where;
  for (std::size_t i = 0; i < items.size(); ++i) {
    ReadItem& item = items[i];
    if (!item.file.impl_ || &item.file.impl_->client() != impl_.get()) {
      item.result = not_of_this_client(item.file);
      continue;
    }
    FileImpl& file = *item.file.impl_;
    const std::span<std::byte> into = item.into.first(file.clip(item.into.size(), item.offset));
    std::size_t done = file.read_mapped(into, item.offset);
    if (done < into.size() && file.use_cached_grant(file.block_index(item.offset + done))) {
      done += file.read_mapped(into.subspan(done), item.offset + done);
    }
    item.result = into.size();
    if (done == into.size()) continue;
    if (!pending) pending = std::make_shared<std::vector<client::PendingRead>>();
    client::PendingRead left;
    left.file = item.file.impl_;
    left.offset = item.offset + done;
    left.into = into.subspan(done);
    pending->push_back(std::move(left));
    where.push_back(i);
  }
  if (!pending) return ok();
  const Status asked = impl_->wait(impl_->read_many(pending));
  for (std::size_t i = 0; i < where.size(); ++i) {
    Status& outcome = (*pending)[i].outcome;
    if (asked && outcome) continue;
    items[where[i]].result = asked ? std::move(outcome).error() : asked.error();
  }
  return ok();
}

}  // namespace hearth
