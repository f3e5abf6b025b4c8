#pragma once
// Numbers of calibration windows, as many of each: in memory, or in a file that has no name any
// more once it is open, so that nothing of it stays however the program ends. Different windows
// may be used from different threads.

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "format/result.hpp"

namespace sqf {

class WindowStore {
 public:
  /// All 0. `file`: in memory where it is empty; else it names the file in errors, and the folder
  /// that it lies in. Errors: io (with room for all of it taken at once where the system can).
  static Result<WindowStore> create(int64_t windows, int64_t numbers,
                                    const std::filesystem::path& file);
  WindowStore() = default;
  WindowStore(WindowStore&& other) noexcept;
  WindowStore& operator=(WindowStore&& other) noexcept;
  ~WindowStore();

  int64_t windows() const { return windows_; }
  int64_t numbers() const { return numbers_; }  ///< of a window
  bool in_file() const { return fd_ >= 0; }

  /// The window, where it stands in memory or else in `room`; what is changed there is kept once it
  /// is saved. Errors: io.
  Result<float*> load(int64_t window, std::vector<float>* room);
  /// A place for a window that is to be written whole.
  float* place(int64_t window, std::vector<float>* room);
  /// What load() or place() gave. Errors: io.
  Result<void> save(int64_t window, const float* numbers);

 private:
  Error failed(const char* what) const;

  std::filesystem::path file_;
  int64_t windows_ = 0, numbers_ = 0;
  int fd_ = -1;
  std::vector<float> all_;  ///< [windows][numbers]; empty: in the file
};

}  // namespace sqf
