#include "common/net/method.h"

#include <string>
#include <unordered_map>

namespace hearth {
namespace {

struct MethodName {
  Method method;
  std::string_view name;
};

constexpr MethodName method_names[] = {
    {Method::none, "none"},
    {Method::stat, "stat"},
    {Method::list, "list"},
    {Method::resolve, "resolve"},
    {Method::locate, "locate"},
    {Method::workers, "workers"},
    {Method::attach, "attach"},
    {Method::detach, "detach"},
    {Method::attachments, "attachments"},
    {Method::free_path, "free_path"},
    {Method::bad_location, "bad_location"},
    {Method::master_status, "master_status"},
    {Method::policy_get, "policy_get"},
    {Method::policy_list, "policy_list"},
    {Method::policy_apply, "policy_apply"},
    {Method::policy_rollback, "policy_rollback"},
    {Method::register_worker, "register_worker"},
    {Method::heartbeat, "heartbeat"},
    {Method::deregister_worker, "deregister_worker"},
    {Method::read, "read"},
    {Method::grant, "grant"},
    {Method::release, "release"},
    {Method::load, "load"},
    {Method::free_blocks, "free_blocks"},
    {Method::report_corrupt, "report_corrupt"},
    {Method::block_status, "block_status"},
    {Method::worker_status, "worker_status"},
    {Method::whatif, "whatif"},
    {Method::trace, "trace"},
    {Method::recall, "recall"},
    {Method::stat_many, "stat_many"},
    {Method::resolve_many, "resolve_many"},
    {Method::read_many, "read_many"},
    {Method::change, "change"},
    {Method::xattr, "xattr"},
    {Method::open_store_file, "open_store_file"},
    {Method::publish_store_file, "publish_store_file"},
    {Method::space, "space"},
    {Method::remove_tree, "remove_tree"},
    {Method::lock, "lock"},
    {Method::subscribe, "subscribe"},
    {Method::changed, "changed"},
};

}  // namespace

std::string_view name(Method method) {
  for (const MethodName& row : method_names) {
    if (row.method == method) return row.name;
  }
  // A number of a newer peer. Each thread keeps the few it met, bounded by 65,536 numbers.
  thread_local std::unordered_map<std::uint16_t, std::string> unknown;
  const auto number = static_cast<std::uint16_t>(method);
  auto [entry, inserted] = unknown.try_emplace(number);
  if (inserted) entry->second = "method-" + std::to_string(number);
  return entry->second;
}

}  // namespace hearth
