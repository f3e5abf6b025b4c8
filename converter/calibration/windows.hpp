#pragma once
// Windows of calibration text on their way through a model: their residual streams, and the team
// of threads that takes them from block to block. What a step shows of the activations is summed,
// window after window, so that the sums have the same bits for any number of threads.

#include <functional>
#include <vector>

#include "converter/calibration/block.hpp"
#include "converter/calibration/text.hpp"

namespace sqf {

/// Sums over tokens, by channel [K].
struct ChannelSums {
  std::vector<float> abs_max;
  std::vector<double> abs, square;
  std::vector<double> gram;  ///< X^T X [K][K], where it was asked for
};

/// Which activations of a step are summed: those numbered first, first + 1, ...
struct Summed {
  int64_t first = 0;
  std::vector<int64_t> columns = {};  ///< of each; empty: none is
  bool gram = false;
};

class Windows {
 public:
  /// The tokens' embeddings. Errors: as embed_tokens. `context` must outlive this.
  static Result<Windows> embed(const SourceModel& source, const BlockContext& context,
                               const CalibrationTokens& tokens, int threads);

  /// What is done with one window: x [length][hidden] is its stream, and may be changed. Runs on
  /// any thread, with that thread's scratch.
  using Step = std::function<void(BlockScratch& scratch, int64_t window, float* x,
                                  const InputVisitor& visit)>;

  /// All windows through one step. `go_on`, if set, is asked on the caller's thread with the
  /// windows done. Errors: interrupted, where it says no.
  Result<std::vector<ChannelSums>> run(const Step& step, const Summed& summed,
                                       const std::function<bool(int64_t)>& go_on);

  int64_t count() const { return count_; }
  int64_t length() const { return context_->length; }
  std::span<float> streams() { return x_; }  ///< [windows][length][hidden]
  float* stream(int64_t window) {
    return x_.data() + window * context_->length * context_->description.hidden_size;
  }

 private:
  const BlockContext* context_ = nullptr;
  int64_t count_ = 0;
  std::vector<float> x_;  ///< [windows][length][hidden]
  std::vector<BlockScratch> team_;
};

}  // namespace sqf
