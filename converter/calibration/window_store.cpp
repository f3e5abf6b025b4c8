#include "converter/calibration/window_store.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sqf {
namespace {

/// Beside others of the same name, of this process and of others.
std::filesystem::path temporary_name(const std::filesystem::path& file) {
  static std::atomic<int> count = 0;
  return file.parent_path() / ("." + file.filename().string() + ".tmp-" +
                               std::to_string(::getpid()) + "-" + std::to_string(count++));
}

/// Room on the disk before the work. False, with errno: there is none.
bool reserve(int fd, off_t size) {
  int result = 0;
  do {
    result = ::fallocate(fd, 0, 0, size);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return true;
  const bool cannot = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  return cannot && ::ftruncate(fd, size) == 0;
}

}  // namespace

Result<WindowStore> WindowStore::create(int64_t windows, int64_t numbers,
                                        const std::filesystem::path& file) {
  WindowStore store;
  store.windows_ = windows;
  store.numbers_ = numbers;
  if (file.empty()) {
    store.all_.resize(static_cast<size_t>(windows * numbers));
    return store;
  }
  store.file_ = file;
  const std::filesystem::path name = temporary_name(file);
  do {
    store.fd_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  } while (store.fd_ < 0 && errno == EINTR);
  if (store.fd_ < 0) return store.failed("create");
  // What cannot be unlinked stays behind; it holds nothing that is missed.
  ::unlink(name.c_str());
  if (!reserve(store.fd_, static_cast<off_t>(4 * windows * numbers)))
    return store.failed("reserve room for");
  return store;
}

WindowStore::WindowStore(WindowStore&& other) noexcept {
  *this = std::move(other);
}

WindowStore& WindowStore::operator=(WindowStore&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(windows_, other.windows_);
  std::swap(numbers_, other.numbers_);
  std::swap(fd_, other.fd_);
  std::swap(all_, other.all_);
  return *this;
}

WindowStore::~WindowStore() {
  if (fd_ >= 0) ::close(fd_);
}

Error WindowStore::failed(const char* what) const {
  return io_error(file_.string() + ": cannot " + what + " it: " + std::strerror(errno));
}

float* WindowStore::place(int64_t window, std::vector<float>* room) {
  if (!in_file()) return all_.data() + window * numbers_;
  room->resize(static_cast<size_t>(numbers_));
  return room->data();
}

Result<float*> WindowStore::load(int64_t window, std::vector<float>* room) {
  float* const to = place(window, room);
  if (!in_file()) return to;
  auto bytes = std::as_writable_bytes(std::span(*room));
  for (auto at = static_cast<off_t>(window * numbers_ * 4); !bytes.empty();) {
    const ssize_t n = ::pread(fd_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read");
    if (n == 0) return io_error(file_.string() + ": ends too early");
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
  return to;
}

Result<void> WindowStore::save(int64_t window, const float* numbers) {
  if (!in_file()) return {};
  auto bytes = std::as_bytes(std::span(numbers, static_cast<size_t>(numbers_)));
  for (auto at = static_cast<off_t>(window * numbers_ * 4); !bytes.empty();) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("write");
    if (n == 0) return io_error(file_.string() + ": no bytes were taken");
    bytes = bytes.subspan(static_cast<size_t>(n));
    at += n;
  }
  return {};
}

}  // namespace sqf
