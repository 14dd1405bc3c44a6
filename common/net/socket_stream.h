// A connected TCP or Unix stream socket as a Stream: system call first, reactor only on EAGAIN.
//
// Threads: confined to its executor.
// Owns:    the descriptor; forked children close theirs.
// Fails:   unavailable (the peer went away, or closed here); cancelled: the awaiting coroutine was
//          cancelled, and nothing was read.
#pragma once

#include "common/net/stream.h"

#include <boost/asio/posix/stream_descriptor.hpp>

namespace hearth {

class SocketStream final : public Stream {
 public:
  // `fd` is connected and non-blocking.
  SocketStream(Executor executor, UniqueFd fd, Address::Kind kind, std::string peer_name);
  ~SocketStream() override;

  Task<std::size_t> read_some(std::span<std::byte> into, std::vector<UniqueFd>& fds) override;
  Task<> write_all(std::vector<std::span<const std::byte>> parts, std::vector<int> fds) override;
  void close() override;
  PeerIdentity peer() const override { return peer_; }

 private:
  // What is left of a write.
  struct Progress {
    std::size_t part = 0;
    std::size_t offset = 0;
    bool fds_sent = false;
  };

  Task<> ready(asio::posix::descriptor_base::wait_type type);
  ssize_t receive(std::span<std::byte> into, std::vector<UniqueFd>& fds);
  ssize_t send(const std::vector<std::span<const std::byte>>& parts, const std::vector<int>& fds, Progress& progress);
  Error lost(int error_number) const;

  asio::posix::stream_descriptor descriptor_;
  Address::Kind kind_;
  PeerIdentity peer_;
  bool closed_ = false;
};

// Socket options that every connection gets: no delay, and death of a silent host noticed by the kernel.
void set_stream_options(int fd, Address::Kind kind);

}  // namespace hearth
