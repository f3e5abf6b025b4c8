#pragma once
// The tensors of an open file in the places where a forward pass wants them. Everything that this
// version cannot compute is refused here, by name, before the first token.

#include <string>
#include <vector>

#include "loader/model_file.hpp"
#include "model/description.hpp"

namespace sqf {

/// y = W x + bias for W [rows, columns] of one part; views into the mapping.
struct Linear {
  PartView weight;
  const float* bias = nullptr;  ///< [rows], or null
};

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;  ///< [hidden]
  std::vector<float> q_norm, k_norm;            ///< [head_dim], empty where there are none
  Linear q, k, v, o, gate, up, down;
};

struct Weights {
  Linear embedding;  ///< [vocab, hidden]; of a tied model the same as head
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;
  Linear head;
  uint64_t bytes_per_token =
      0;  ///< stored bytes that one token reads: all but a gathered embedding
};

/// Finds every tensor of `description` in the file. Errors: malformed R702 with all that is
/// missing or misshapen, unsupported for compositions without a kernel (several parts, smoothing
/// to be applied, low-rank pairs). Views live as long as `file`.
Result<Weights> load_weights(const ModelFile& file, const ModelDescription& description);

}  // namespace sqf
