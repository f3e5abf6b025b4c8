#pragma once
// The forward pass: tokens in, logits out, with a cache of what came before. Where it is computed
// is a backend's matter; this keeps the sequence and refuses what no backend should see.

#include <memory>
#include <span>

#include "runtime/cpu/isa.hpp"
#include "runtime/weights.hpp"

namespace sqf {

inline constexpr int64_t kBatch = 512;  ///< tokens that go through a layer together

struct EngineOptions {
  int threads = 1;
  bool exact = false;       ///< f32 activations, or nearly so on a GPU, for comparisons; slower
  bool half_cache = false;  ///< on the CPU: keys and values rounded to f16, as a GPU keeps them
  Isa isa = best_isa();
  int64_t context = 4096;   ///< positions of the cache; at most the model's own
  int64_t gpu_layers = -1;  ///< on a GPU: so many, the last ones, and the head; -1: all
};

enum class LogitsOf : uint8_t { last_token, all_tokens };

/// One sequence on one device. Not thread-safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual const ModelDescription& description() const = 0;
  virtual int64_t context() const = 0;  ///< positions there is room for
  /// Tokens at the positions from `first` on, which are at most those seen before; there is room.
  virtual Result<void> forward(std::span<const int32_t> tokens, int64_t first, LogitsOf which) = 0;
  virtual std::span<const float> logits_of(int64_t i) const = 0;
  virtual uint64_t weight_bytes() const = 0;  ///< stored bytes that one token reads
};

/// One sequence on one model. Not thread-safe. The file must outlive it.
class Engine {
 public:
  /// On the CPU, with a team of threads. Errors: malformed R701 and R702, unsupported, io (memory).
  static Result<Engine> create(const ModelFile& file, const EngineOptions& options);
  explicit Engine(std::unique_ptr<Backend> backend) : backend_(std::move(backend)) {}

  const ModelDescription& description() const { return backend_->description(); }
  int64_t context() const { return backend_->context(); }
  int64_t position() const { return position_; }  ///< tokens seen so far
  /// Forgets what came after the first `position` tokens.
  void rewind(int64_t position);

  /// Appends tokens. Errors: usage, when the context is full or an id is not in the vocabulary.
  Result<void> forward(std::span<const int32_t> tokens, LogitsOf which = LogitsOf::last_token);

  /// [vocab] of the last token of the last forward(), or of its i-th token with all_tokens.
  std::span<const float> logits(int64_t i = 0) const { return backend_->logits_of(i); }

  /// Bytes of weights that one token reads.
  uint64_t weight_bytes() const { return backend_->weight_bytes(); }

 private:
  std::unique_ptr<Backend> backend_;
  int64_t position_ = 0;
};

}  // namespace sqf
