#pragma once
// The tensors of an open file in the places where a forward pass wants them. Everything that this
// version cannot compute is refused here, by name, before the first token: a vector that an input
// record wants divided.

#include <string>
#include <vector>

#include "loader/model_file.hpp"
#include "model/description.hpp"
#include "runtime/linear.hpp"

namespace sqf {

/// The table of embeddings; rows are read one by one.
struct Embedding {
  PartView rows;  ///< what a row is decoded from where the tensor is this one part
  bool composed = false;
  TensorView tensor;
};

struct LayerWeights {
  std::vector<float> attention_norm, mlp_norm;  ///< [hidden]
  std::vector<float> q_norm, k_norm;            ///< [head_dim], empty where there are none
  Linear q, k, v, o, gate, up, down;
};

struct Weights {
  Embedding embedding;  ///< [vocab, hidden]; of a tied model the same as head
  std::vector<LayerWeights> layers;
  std::vector<float> final_norm;
  Linear head;
  Feeds feeds;
  /// Stored bytes that one token reads: all but a gathered embedding.
  uint64_t bytes_per_token = 0;
};

/// Finds every tensor of `description` in the file. Errors: malformed R702 with all that is
/// missing or misshapen, R605 for a column list that leads outside. Views live as long as `file`.
Result<Weights> load_weights(const ModelFile& file, const ModelDescription& description);

}  // namespace sqf
