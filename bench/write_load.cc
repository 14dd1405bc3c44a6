// One round of changes to a directory, by as many clients as asked for; started by bench/write, which knows the ceilings.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace hearth::bench {
namespace {

constexpr std::size_t mib = 1 << 20;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "write_load: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

void must(long result, const std::string& what) {
  if (result < 0) fail(what);
}

std::vector<std::byte> noise(std::size_t size) {
  std::vector<std::byte> out(size);
  std::mt19937_64 random(42);
  std::generate(out.begin(), out.end(), [&] { return static_cast<std::byte>(random()); });
  return out;
}

void write_all(int fd, const std::byte* bytes, std::size_t size) {
  while (size > 0) {
    const ssize_t count = ::write(fd, bytes, size);
    must(count, "write");
    bytes += count;
    size -= static_cast<std::size_t>(count);
  }
}

// One file of `count` MiB, by writes of 1 MiB; fsync at the end.
void stream(const std::string& directory, long count) {
  const std::vector<std::byte> bytes = noise(mib);
  const int fd = ::open((directory + "/stream").c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
  must(fd, "open");
  for (long i = 0; i < count; ++i) write_all(fd, bytes.data(), bytes.size());
  must(::fsync(fd), "fsync");
  must(::close(fd), "close");
}

void make_file(const std::string& path, const std::vector<std::byte>& bytes) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
  must(fd, path);
  write_all(fd, bytes.data(), bytes.size());
  must(::close(fd), "close");
}

using Step = std::function<void(const std::string& path)>;

Step step_of(const std::string& operation) {
  static const std::vector<std::byte> bytes = noise(4096);
  static const std::vector<std::byte> none;
  if (operation == "small") return [](const std::string& path) { make_file(path, bytes); };
  if (operation == "create") return [](const std::string& path) { make_file(path, none); };
  if (operation == "mkdir") return [](const std::string& path) { must(::mkdir(path.c_str(), 0755), "mkdir"); };
  if (operation == "rename") return [](const std::string& path) { must(::rename(path.c_str(), (path + ".new").c_str()), "rename"); };
  if (operation == "unlink") return [](const std::string& path) { must(::unlink((path + ".new").c_str()), "unlink"); };
  // What a store that keeps each change on the disk by itself pays.
  if (operation == "create_fsync") {
    return [](const std::string& path) {
      make_file(path, none);
      const int fd = ::open(path.substr(0, path.rfind('/')).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      must(fd, "open");
      must(::fsync(fd), "fsync");
      must(::close(fd), "close");
    };
  }
  errno = EINVAL;
  fail(operation);
}

// `count` in all; each client works in a directory of its own.
void metadata(const std::string& directory, const std::string& operation, long count, int clients) {
  const Step step = step_of(operation);
  // rename works on what create made, unlink on what rename left.
  const std::string kind = operation == "rename" || operation == "unlink" ? "create" : operation;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<std::size_t>(clients));
  for (int client = 0; client < clients; ++client) {
    threads.emplace_back([&, client] {
      const std::string own = directory + "/c" + std::to_string(client) + "/";
      for (long i = client; i < count; i += clients) step(own + kind + std::to_string(i));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace hearth::bench

int main(int count, char** words) {
  using namespace hearth::bench;
  if (count != 5) {
    std::fprintf(stderr, "hearth-write-load DIRECTORY OPERATION COUNT CLIENTS: prints seconds\n");
    return 2;
  }
  const std::string directory = words[1];
  const std::string operation = words[2];
  const long number = std::strtol(words[3], nullptr, 10);
  const int clients = static_cast<int>(std::strtol(words[4], nullptr, 10));
  for (int client = 0; client < clients; ++client) ::mkdir((directory + "/c" + std::to_string(client)).c_str(), 0755);
  const auto begun = std::chrono::steady_clock::now();
  operation == "stream" ? stream(directory, number) : metadata(directory, operation, number, clients);
  std::printf("%.6f\n", std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
}
