#include "cli/daemon/services.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/net/stream.h"

#include <thread>

namespace hearth::cli {
namespace {

// The mount with the thread that waits for its end.
class MountService final : public Service {
 public:
  MountService(std::unique_ptr<Mount> mount, std::string mountpoint, std::function<void()> on_end)
      : mount_(std::move(mount)), mountpoint_(std::move(mountpoint)), on_end_(std::move(on_end)) {
    waiter_ = std::thread([this] {
      auto ended = mount_->wait();
      if (!ended) log_warn("mount_ended", {{"mountpoint", mountpoint_}, {"reason", ended.error().message()}});
      on_end_();
    });
  }
  ~MountService() override { (void)stop(); }

  std::string address() const override { return mountpoint_; }
  Status stop() override {
    if (!waiter_.joinable()) return ok();
    auto unmounted = mount_->unmount();
    waiter_.join();
    return unmounted;
  }

 private:
  std::unique_ptr<Mount> mount_;
  std::string mountpoint_;
  std::function<void()> on_end_;
  std::thread waiter_;
};

}  // namespace

Result<std::unique_ptr<Service>> start_mount(const MountOptions& options, const ClientOptions& client_options,
                                             std::function<void()> on_end) {
  TRY(client, Client::connect(client_options));
  TRY(mount, Mount::start(options, std::move(client)));
  return std::unique_ptr<Service>(std::make_unique<MountService>(std::move(mount), options.mountpoint, std::move(on_end)));
}

Result<MountOptions> mount_options(const MountConfig& config, const std::string& more, const std::string& mountpoint) {
  std::string all = config.options;
  if (!all.empty() && !more.empty()) all += ",";
  TRY(options, parse_mount_options(all + more));
  options.mountpoint = mountpoint;
  if (options.subtree == "/") options.subtree = config.subtree;
  if (options.master.empty()) options.master = config.master;
  if (options.fsname == "hearth") options.fsname = "hearth://" + options.master + options.subtree;
  return options;
}

ClientOptions mount_client_options(const MountConfig& config) {
  ClientOptions options;
  options.master = config.master;
  options.max_mapped_bytes = config.max_mapped.bytes;
  options.connections_per_worker = config.connections_per_worker;
  options.tenant = config.tenant;
  options.stat_for_opening = true;
  options.read_deadline = std::chrono::duration_cast<std::chrono::milliseconds>(config.read_deadline);
  return options;
}

Result<std::unique_ptr<MetricsServer>> start_metrics(const MetricsConfig& config) {
  if (config.listen.empty()) return std::unique_ptr<MetricsServer>();
  TRY(address, Address::parse(config.listen));
  MetricsServerOptions options{.host = address.host, .port = address.port};
  options.metrics = [] { return metrics().to_prometheus(); };
  auto server = MetricsServer::start(std::move(options));
  if (!server) return std::move(server).error().with_context("metrics.listen");
  return server;
}

}  // namespace hearth::cli
