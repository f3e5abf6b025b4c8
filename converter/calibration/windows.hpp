#pragma once
// Windows of calibration text on their way through a model: their residual streams, in memory or in
// a file, and the team of threads that takes them from block to block. What a step shows of the
// activations is summed, window after window, so that the sums have the same bits for any number of
// threads.

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "converter/calibration/block.hpp"
#include "converter/calibration/text.hpp"
#include "converter/calibration/window_store.hpp"

namespace sqf {

/// Sums over tokens, by channel [K].
struct ChannelSums {
  std::vector<float> abs_max;
  std::vector<double> abs, square;
  /// X^T X [K][K], where it was asked for; or of each block on its diagonal [size][size], one
  /// behind another.
  std::vector<double> gram;
};

/// Which activations of a step are summed: those numbered first, first + 1, ...
struct Summed {
  int64_t first = 0;
  std::vector<int64_t> columns = {};  ///< of each; empty: none is
  bool gram = false;
  int64_t block = 0;  ///< columns of a block of the Gram matrix, the last may have fewer; 0: all
  std::span<const uint32_t> picked = {};  ///< the columns that the Gram matrix is of; empty: all
};

/// The first of the errors that threads meet.
class FirstError {
 public:
  void keep(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    there_ = true;
  }
  explicit operator bool() const { return there_; }
  const std::optional<Error>& error() const { return error_; }  ///< once the threads are done

 private:
  std::mutex mutex_;
  std::atomic<bool> there_ = false;
  std::optional<Error> error_;
};

class Windows {
 public:
  /// The tokens' embeddings; `spill`: as WindowStore's file. Errors: as embed_tokens, and as those
  /// of WindowStore. `context` must outlive this.
  static Result<Windows> embed(const SourceModel& source, const BlockContext& context,
                               const CalibrationTokens& tokens, int threads,
                               const std::filesystem::path& spill);

  /// What is done with one window: x [length][hidden] is its stream, and may be changed. Runs on
  /// any thread, with that thread's scratch.
  using Step = std::function<void(BlockScratch& scratch, int64_t window, float* x,
                                  const InputVisitor& visit)>;

  /// All windows through one step. `go_on`, if set, is asked on the caller's thread with the
  /// windows done. Errors: interrupted, where it says no; as those of WindowStore.
  Result<std::vector<ChannelSums>> run(const Step& step, const Summed& summed,
                                       const std::function<bool(int64_t)>& go_on);
  /// The same with a step that leaves x as it is.
  Result<std::vector<ChannelSums>> look(const Step& step, const Summed& summed,
                                        const std::function<bool(int64_t)>& go_on);

  int64_t count() const { return count_; }
  int64_t length() const { return context_->length; }
  WindowStore& streams() { return x_; }  ///< [windows][length][hidden]

 private:
  struct Member {
    BlockScratch scratch;
    std::vector<float> room;  ///< of the stream at hand, where streams are in a file
  };
  Result<std::vector<ChannelSums>> all(const Step& step, const Summed& summed,
                                       const std::function<bool(int64_t)>& go_on, bool changes);

  const BlockContext* context_ = nullptr;
  int64_t count_ = 0;
  WindowStore x_;  ///< [windows][length][hidden]
  std::vector<Member> team_;
};

}  // namespace sqf
