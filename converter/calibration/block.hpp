#pragma once
// One decoder block of the source model in f32, as calibration runs it: whole windows at a time,
// from position 0, no cache, no quantization. What each linear layer reads is shown to a visitor.
// Refuses sources without the tensors, or with shapes other than those, that the description asks
// for. tests/ hold it to the runtime's logits.

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "converter/calibration/matmul.hpp"
#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

/// What a linear layer reads, [tokens][columns]; `input` is TensorSpec::input of its readers.
using InputVisitor =
    std::function<void(int64_t input, const float* x, int64_t tokens, int64_t columns)>;

/// Null where the source has none of that name.
const SourceTensor* find_tensor(const SourceModel& source, std::string_view name);

/// What all blocks share: the description, and the angles of positions 0 .. length - 1.
struct BlockContext {
  ModelDescription description;
  int64_t length = 0;                 ///< tokens of a window
  std::vector<float> cosines, sines;  ///< [length][head_dim / 2]

  BlockContext(const ModelDescription& d, int64_t window_length);
};

/// Buffers of one thread, [length][...]; made before the work, so that it allocates nothing.
struct BlockScratch {
  std::vector<float> normed, q, k, v, attended, gate, up, projected;
  std::vector<float> scores;  ///< [queries][length]
  Panels keys, values;        ///< of one head

  explicit BlockScratch(const BlockContext& context);
};

/// Weights of one layer, ready to multiply with. Immutable once read.
class Block {
 public:
  /// Errors: malformed, with the tensor's name.
  static Result<Block> read(const SourceModel& source, const BlockContext& context, int64_t layer);

  /// x [length][hidden], the residual stream, in place. Safe from several threads, each with its
  /// own scratch. `visit` sees inputs 4 layer .. 4 layer + 3, in that order; with `last` 0..3 the
  /// walk ends behind that one, and x is left half way.
  void forward(const BlockContext& context, float* x, BlockScratch& scratch,
               const InputVisitor& visit, int64_t last = 4) const;

  /// What the block adds to the stream in answer to x, the input that site 0..3 (qkv, o, gate_up,
  /// down) reads [length][columns]: out [length][hidden].
  void respond(const BlockContext& context, int64_t site, const float* x, BlockScratch& scratch,
               float* out) const;

  /// Puts w [rows][columns] in the place of the weight of that role.
  void replace(Role role, const float* w);

 private:
  struct Linear {
    Panels weight;
    std::vector<float> bias;  ///< empty: none
  };
  /// y [length][rows of the weight]
  static void apply(const Linear& linear, const BlockContext& context, const float* x, float* y);
  Linear& linear_of(Role role);
  void attention(const BlockContext& context, const float* x, BlockScratch& scratch) const;
  void gated(const BlockContext& context, const float* x, BlockScratch& scratch) const;
  void attend(const BlockContext& context, BlockScratch& scratch) const;
  void place(const BlockContext& context, float* heads, int64_t count,
             const std::vector<float>& norm) const;

  int64_t layer_ = 0;
  Linear q_, k_, v_, o_, gate_, up_, down_;
  std::vector<float> attention_norm_, mlp_norm_, q_norm_, k_norm_;
};

/// Rows of the embedding, x [tokens][hidden]. Errors: malformed; usage for a token that the
/// vocabulary does not have.
Result<void> embed_tokens(const SourceModel& source, const ModelDescription& description,
                          std::span<const int32_t> tokens, float* x);

/// The weight of the norm before the head. Errors: malformed.
Result<std::vector<float>> read_final_norm(const SourceModel& source,
                                           const ModelDescription& description);

/// What turns the residual stream into logits. Immutable once read.
class OutputHead {
 public:
  /// Errors: malformed, with the tensor's name.
  static Result<OutputHead> read(const SourceModel& source, const ModelDescription& description);

  /// logits [tokens][vocab] of x [tokens][hidden], which is normed in place. Safe from several
  /// threads on different tokens.
  void forward(float* x, int64_t tokens, float* logits) const;

 private:
  Panels weight_;
  std::vector<float> norm_;
  float epsilon_ = 0;
};

}  // namespace sqf
