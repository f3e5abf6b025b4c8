#pragma once
// What the tests of the C interface share: a file with every kind of record, and a handle that
// closes itself.

#include <filesystem>
#include <string>

#include "loader/model_file.hpp"
#include "sqf.h"
#include "tests/loader/layered_file.hpp"

namespace sqf {

inline constexpr uint32_t kRows = LayeredFile::rows, kColumns = LayeredFile::columns;

struct Handle {
  sqf_file* file = nullptr;
  sqf_error error = {};
  sqf_code code;
  Handle(const std::filesystem::path& path, int verify)
      : code(sqf_open(path.c_str(), verify, &file, &error)) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { sqf_close(file); }
};

class CInterface : public testing::Test {
 protected:
  void SetUp() override { made_.write(path_); }

  uint64_t data_offset() const { return ModelFile::open(path_)->head().data_begin(); }

  /// A copy of the file with the byte at `offset` changed.
  std::filesystem::path damaged(uint64_t offset) {
    std::string bytes = read_file(path_);
    bytes[offset] = static_cast<char>(bytes[offset] ^ 0x10);
    write_file(folder_ / "damaged.sqf", bytes);
    return folder_ / "damaged.sqf";
  }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "a.sqf";
  LayeredFile made_{{Element::i8, SmoothState::apply, true, 3}};
};

}  // namespace sqf
