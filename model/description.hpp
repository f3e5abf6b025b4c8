#pragma once
// What a model is apart from its numbers: sizes and the differences between architectures, as
// data. The converter makes it from config.json's words; META carries it; the runtime reads it
// from there and knows no architecture by name.

#include <cstdint>
#include <string>
#include <vector>

#include "format/json.hpp"
#include "format/result.hpp"

namespace sqf {

enum class RopeScaling : uint8_t { none, linear, llama3 };
enum class Activation : uint8_t { silu };
enum class QkNorm : uint8_t { none, per_head };

/// Sizes count elements. Every value was range-checked by whoever returned it.
struct ModelDescription {
  std::string architecture;
  int64_t vocab_size = 0, hidden_size = 0, intermediate_size = 0;
  int64_t layers = 0, heads = 0, kv_heads = 0, head_dim = 0, context_length = 0;
  float norm_epsilon = 1e-5f;
  Activation activation = Activation::silu;
  QkNorm qk_norm = QkNorm::none;
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool tied = false;  ///< the head is the embedding

  float rope_theta = 10000;
  RopeScaling rope_scaling = RopeScaling::none;
  float rope_factor = 1, rope_low_frequency = 1, rope_high_frequency = 4;
  int64_t rope_original_context = 0;  ///< llama3 scaling only

  int64_t bos_id = -1;           ///< -1: none
  std::vector<int64_t> eos_ids;  ///< any of them ends an answer
};

/// From Hugging Face's words (both spellings of the rope settings). `generation` may be null.
/// Errors: malformed for missing, mistyped or impossible values, unsupported by name for
/// architectures and features this version has no data for.
Result<ModelDescription> description_from_config(const Json& config, const Json& generation);

Json description_to_json(const ModelDescription& description);
/// The inverse, from META's "model" object. Unknown words are refused by name.
Result<ModelDescription> description_from_json(const Json& model);

enum class Role : uint8_t {
  embedding,
  attention_norm,
  q,
  k,
  v,
  q_norm,
  k_norm,
  o,
  mlp_norm,
  gate,
  up,
  down,
  final_norm,
  head
};

/// One tensor that the description asks for; vectors have one row.
struct TensorSpec {
  Role role = Role::embedding;
  int64_t layer = -1;  ///< -1 outside the layers
  std::string name;
  int64_t rows = 0, columns = 0;
  bool bias = false;   ///< an f32 vector [rows] comes with it, named ...bias
  int64_t input = -1;  ///< tensors with the same number read the same activation; -1: none
};

/// Every tensor of the model, in the order in which a forward pass reads them. The embedding of
/// a tied model stands last, as the head.
std::vector<TensorSpec> tensor_specs(const ModelDescription& description);

}  // namespace sqf
