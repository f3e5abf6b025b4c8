#pragma once
// An open .sqf file: mapped, its head checked once, its tensors handed out as views that cannot
// fail. Tensor bytes are verified on request: all at once, or chunk by chunk when they are first
// read; opening touches the head alone.

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>

#include "format/head.hpp"
#include "format/part.hpp"
#include "format/validate.hpp"
#include "loader/mapping.hpp"

namespace sqf {

/// A tensor of an open file. Trivially copyable; valid while the ModelFile lives.
struct TensorView {
  std::string_view name;
  const TensorRecord* record = nullptr;
  MatrixShape shape;
};

/// Owns the mapping and the checked head. Move-only; all const members are safe from any thread.
class ModelFile {
 public:
  /// Maps `path` and checks its head (rules R1xx to R4xx). Errors: io, malformed, unsupported.
  static Result<ModelFile> open(const std::filesystem::path& path);

  const Head& head() const { return head_; }
  std::span<const std::byte> bytes() const { return mapping_.bytes(); }

  size_t tensor_count() const { return head_.directory.tensors.size(); }
  TensorView tensor(size_t index) const;
  /// By name; binary search.
  std::optional<TensorView> find(std::string_view name) const;

  /// Part `index` of a tensor (0 <= index < record->part_count) of one expert.
  PartView part(const TensorView& tensor, uint32_t index, uint64_t expert = 0) const;
  std::span<const std::byte> component(uint32_t index) const;

  /// All tensor bytes against every checksum and value rule. Empty: nothing is wrong.
  std::vector<Error> verify(size_t max_findings, const ProgressFn& progress = {}) const;

  /// From now on touch() checks hashes. Not safe beside other calls.
  void verify_on_touch();
  /// To be called before `bytes`, which lie in DATA, are read: checks the chunks that hold them,
  /// each the first time only. Without verify_on_touch() it does nothing. Errors: malformed (R502),
  /// for a failed chunk at every call.
  Result<void> touch(std::span<const std::byte> bytes) const;

 private:
  enum class ChunkState : uint8_t { unknown, good, bad };
  bool chunk_is_good(uint64_t chunk) const;

  Mapping mapping_;
  Head head_;
  std::unique_ptr<std::atomic<ChunkState>[]> chunks_;  ///< one per chunk of DATA, or none
};

}  // namespace sqf
