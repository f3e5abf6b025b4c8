#pragma once
// The forward pass on the CPU: tokens in, logits out, with a cache of what came before. Reads
// weights straight from the mapping.

#include <memory>
#include <span>

#include "runtime/cpu/isa.hpp"
#include "runtime/weights.hpp"

namespace sqf {

struct EngineOptions {
  int threads = 1;
  bool exact = false;  ///< f32 activations everywhere, for comparisons; slower
  Isa isa = best_isa();
  int64_t context = 4096;  ///< positions of the cache; at most the model's own
};

enum class LogitsOf : uint8_t { last_token, all_tokens };

/// One sequence on one model. Not thread-safe; runs a team of its own. The file must outlive it.
class Engine {
 public:
  /// Errors: malformed R701 and R702, unsupported, io (memory).
  static Result<Engine> create(const ModelFile& file, const EngineOptions& options);
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  const ModelDescription& description() const;
  int64_t context() const;   ///< positions there is room for
  int64_t position() const;  ///< tokens seen so far
  /// Forgets what came after the first `position` tokens.
  void rewind(int64_t position);

  /// Appends tokens. Errors: usage, when the context is full or an id is not in the vocabulary.
  Result<void> forward(std::span<const int32_t> tokens, LogitsOf which = LogitsOf::last_token);

  /// [vocab] of the last token of the last forward(), or of its i-th token with all_tokens.
  std::span<const float> logits(int64_t i = 0) const;

  /// Bytes of weights that one token reads.
  uint64_t weight_bytes() const;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace sqf
