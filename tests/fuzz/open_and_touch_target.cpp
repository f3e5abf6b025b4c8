// A file that opens: every view must be in bounds whatever DATA holds, and decoding a row must
// give what decoding its tile gives. Work is bounded by a budget of weights, not by the shapes.

#include <cstring>
#include <vector>

#include "format/validate.hpp"
#include "tests/fuzz/guard.hpp"

namespace sqf {
namespace {

/// Weights decoded of one input.
constexpr int64_t kBudget = int64_t{1} << 19;

class Touch {
 public:
  Touch(const Head& head, std::span<const std::byte> file) : head_(head), file_(file) {}

  void run() {
    const bool clean = validate_data(head_, file_, 8, {}).empty();
    for (const TensorRecord& t : head_.directory.tensors)
      for (uint32_t p = t.part_first; p < t.part_first + t.part_count; p++)
        for (uint64_t expert = 0; expert < matrix_shape(t).experts; expert++) {
          const PartView view = part_view(head_, file_, t, head_.directory.parts[p], expert);
          if (!touch(view, clean)) return;
        }
    for (const ComponentRecord& c : head_.directory.components)
      for (const std::byte b : file_.subspan(c.offset, c.size)) sum_ += static_cast<uint64_t>(b);
    consume(sum_);
  }

 private:
  /// False once the budget is used up. Tiles that pass validate_data must decode the same either
  /// way; of codes without a value only the reads are looked at.
  bool touch(const PartView& view, bool clean) {
    std::vector<float> tile, row;
    for (int64_t i = 0; i < tiles_of(view.rows); i++) {
      const int64_t weights = kTileRows * view.columns;
      if (weights > left_) return false;
      left_ -= weights;
      tile.assign(static_cast<size_t>(weights), 0);
      row.assign(static_cast<size_t>(view.columns), 0);
      decode_tile(view, i, tile.data());
      for (int64_t r = i * kTileRows; r < view.rows && r < (i + 1) * kTileRows; r++) {
        decode_row(view, r, row.data());
        const float* same = tile.data() + (r % kTileRows) * view.columns;
        if (clean)
          require(std::memcmp(same, row.data(), row.size() * sizeof(float)) == 0,
                  "decode_row gives what decode_tile gives");
      }
    }
    return true;
  }

  const Head& head_;
  std::span<const std::byte> file_;
  int64_t left_ = kBudget;
  uint64_t sum_ = 0;
};

}  // namespace
}  // namespace sqf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto file = sqf::input_bytes(data, size);
  const auto head = sqf::read_head(file);
  if (head) sqf::Touch(*head, file).run();
  return 0;
}
