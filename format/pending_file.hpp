#pragma once
// A file on its way: written under a temporary name beside its target and put there whole, or not
// at all. Refuses targets that are no regular files, disks that are too full, and to replace what
// nobody allowed it to replace.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "format/result.hpp"

namespace sqf {

/// Owns the temporary ".NAME.tmp-PID", locked (flock) while it is written, unlinked when it is not
/// put in place. Every error is one of io and names the target, the step and the reason.
class PendingFile {
 public:
  /// Removes temporaries for the same target that dead processes left; checks the target and the
  /// free space; then creates and preallocates `size` bytes.
  static Result<PendingFile> create(const std::filesystem::path& target, uint64_t size,
                                    bool replace);
  PendingFile(PendingFile&& other) noexcept;
  PendingFile& operator=(PendingFile&&) = delete;
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile();

  Result<void> write(std::span<const std::byte> bytes, uint64_t offset);
  /// A failure is final: what the disk holds then is unknown, and asking again may say "good".
  Result<void> sync();
  /// Shows all bytes to `check` and returns what it says.
  Result<void> inspect(const std::function<Result<void>(std::span<const std::byte>)>& check);
  /// Closes, renames, syncs the folder. Only when that last step fails is the file in place all
  /// the same, and the message says so.
  Result<void> put_in_place();

 private:
  PendingFile() = default;
  Result<void> open_temporary();
  Result<void> reserve(uint64_t size);
  Result<void> sync_folder();
  Error failed(const char* what) const;

  std::filesystem::path target_, folder_, temporary_;
  uint64_t size_ = 0;
  int fd_ = -1;
  bool replace_ = false;
};

}  // namespace sqf
