#include "format/pending_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

namespace sqf {
namespace {

namespace fs = std::filesystem;

/// Calls again as long as a signal interrupted the call.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

std::string temporary_prefix(const fs::path& target) {
  return "." + target.filename().string() + ".tmp-";
}

Result<void> check_target(const fs::path& target, bool replace) {
  std::error_code error;
  const auto status = fs::symlink_status(target, error);
  if (!fs::exists(status)) return {};
  if (!fs::is_regular_file(status)) return io_error(target.string() + ": not a regular file");
  if (!replace) return io_error(target.string() + ": exists already (--force replaces it)");
  return {};
}

/// Removes the temporary at `path` if no process writes it: its owner is dead, or would be this
/// one (identifiers come round, in containers at once), and the lock that a writer holds is free.
/// A file system without locks leaves the word to the identifier alone.
void remove_if_abandoned(const fs::path& path, pid_t owner) {
  if (owner != ::getpid() && (::kill(owner, 0) == 0 || errno != ESRCH)) return;
  const int fd = ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return;
  struct stat info = {};
  const bool regular = ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  const bool free = ::flock(fd, LOCK_EX | LOCK_NB) == 0 ||
                    (errno != EWOULDBLOCK && errno != EINTR && owner != ::getpid());
  if (regular && free) ::unlink(path.c_str());
  ::close(fd);
}

void remove_abandoned(const fs::path& folder, const std::string& prefix) {
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = 0;
    const char* end = name.data() + name.size();
    const auto [rest, problem] = std::from_chars(name.data() + prefix.size(), end, owner);
    if (problem == std::errc() && rest == end && owner > 0)
      remove_if_abandoned(entry->path(), owner);
  }
}

Result<void> check_space(const fs::path& target, const fs::path& folder, uint64_t size) {
  struct statvfs disk = {};
  // Where the question has no answer, preallocating gives it.
  if (uninterrupted([&] { return ::statvfs(folder.c_str(), &disk); }) != 0 || disk.f_blocks == 0)
    return {};
  const uint64_t free = static_cast<uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free >= size + size / 100) return {};
  return io_error(target.string() + ": needs " + std::to_string(size) + " bytes, the disk has " +
                  std::to_string(free) + " free");
}

/// Gives `temporary` the name `target` unless that is taken; returns 0 or -1 with errno. Each way
/// is for file systems that do not know the one before it; none replaces a file of somebody else.
int rename_to_free_name(const fs::path& temporary, const fs::path& target) {
  if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0)
    return 0;
  // EPERM: what some sandboxes say to calls that they have not heard of.
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EPERM) return -1;
  if (::link(temporary.c_str(), target.c_str()) == 0) {
    // Should this fail, the next run finds the second name and removes it.
    ::unlink(temporary.c_str());
    return 0;
  }
  if (errno != EPERM && errno != ENOSYS && errno != EOPNOTSUPP) return -1;
  const int held = uninterrupted(
      [&] { return ::open(target.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (held < 0) return -1;
  ::close(held);
  if (::rename(temporary.c_str(), target.c_str()) == 0) return 0;
  const int reason = errno;
  ::unlink(target.c_str());
  errno = reason;
  return -1;
}

}  // namespace

Error PendingFile::failed(const char* what) const {
  return io_error(target_.string() + ": " + what + ": " + std::strerror(errno));
}

Result<PendingFile> PendingFile::create(const fs::path& target, uint64_t size, bool replace) {
  PendingFile file;
  file.target_ = target;
  file.folder_ = target.has_parent_path() ? target.parent_path() : fs::path(".");
  file.replace_ = replace;
  if (auto r = check_target(target, replace); !r) return r.error();
  remove_abandoned(file.folder_, temporary_prefix(target));
  if (auto r = check_space(target, file.folder_, size); !r) return r.error();
  if (auto r = file.open_temporary(); !r) return r.error();
  if (auto r = file.reserve(size); !r) return r.error();
  return file;
}

Result<void> PendingFile::open_temporary() {
  const fs::path path = folder_ / (temporary_prefix(target_) + std::to_string(::getpid()));
  // Between creation and lock another process may take the file for abandoned and remove it: then
  // it has no name left, and is made again.
  for (int attempt = 0; attempt < 3; attempt++) {
    fd_ = uninterrupted(
        [&] { return ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
    if (fd_ < 0) return failed("cannot create a file beside it");
    struct stat info = {};
    uninterrupted([&] { return ::flock(fd_, LOCK_EX); });
    if (::fstat(fd_, &info) == 0 && info.st_nlink > 0) {
      temporary_ = path;
      return {};
    }
    ::close(std::exchange(fd_, -1));
  }
  return io_error(target_.string() + ": the file beside it was removed by another process");
}

Result<void> PendingFile::reserve(uint64_t size) {
  size_ = size;
  const auto bytes = static_cast<off_t>(size);
  if (uninterrupted([&] { return ::fallocate(fd_, 0, 0, bytes); }) == 0) return {};
  // Some file systems cannot preallocate; the size is set all the same, and a full disk is then
  // found by the write that hits it.
  if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)
    return failed("cannot reserve space");
  if (uninterrupted([&] { return ::ftruncate(fd_, bytes); }) != 0)
    return failed("cannot set the size");
  return {};
}

PendingFile::PendingFile(PendingFile&& other) noexcept
    : target_(std::move(other.target_)),
      folder_(std::move(other.folder_)),
      temporary_(std::exchange(other.temporary_, {})),
      size_(other.size_),
      fd_(std::exchange(other.fd_, -1)),
      replace_(other.replace_) {}

PendingFile::~PendingFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

Result<void> PendingFile::write(std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = uninterrupted(
        [&] { return ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (n < 0) return failed("cannot write");
    if (n == 0) return io_error(target_.string() + ": cannot write: no bytes were taken");
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Result<void> PendingFile::sync() {
  if (uninterrupted([&] { return ::fsync(fd_); }) != 0) return failed("cannot sync");
  return {};
}

Result<void> PendingFile::inspect(
    const std::function<Result<void>(std::span<const std::byte>)>& check) {
  void* data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) return failed("cannot map what was written");
  auto result = check({static_cast<const std::byte*>(data), size_});
  ::munmap(data, size_);
  return result;
}

Result<void> PendingFile::put_in_place() {
  // The descriptor is gone whatever close() says, and after EINTR, too; all bytes are synced.
  if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) return failed("cannot close");
  const int renamed = replace_ ? ::rename(temporary_.c_str(), target_.c_str())
                               : rename_to_free_name(temporary_, target_);
  if (renamed != 0) return failed("cannot put it in place");
  temporary_.clear();
  return sync_folder();
}

Result<void> PendingFile::sync_folder() {
  const auto not_durable = [&](const char* what) {
    return io_error(target_.string() +
                    ": is complete and in place, but a power failure may still undo that: " + what +
                    " its folder: " + std::strerror(errno));
  };
  const int fd =
      uninterrupted([&] { return ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  // One may write to a folder that one may not read.
  if (fd < 0 && errno == EACCES) return {};
  if (fd < 0) return not_durable("cannot open");
  Result<void> result;
  // EINVAL: the file system does not sync folders at all.
  if (uninterrupted([&] { return ::fsync(fd); }) != 0 && errno != EINVAL)
    result = not_durable("cannot sync");
  ::close(fd);
  return result;
}

}  // namespace sqf
