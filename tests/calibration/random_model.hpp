#pragma once
// Small models of random f32 weights, made in memory from config.json's words.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/source.hpp"
#include "model/description.hpp"

namespace sqf {

struct RandomModel {
  explicit RandomModel(const Json& changes, unsigned seed = 1) {
    source.config = {{"model_type", "llama"},    {"vocab_size", 264},
                     {"hidden_size", 64},        {"intermediate_size", 96},
                     {"num_hidden_layers", 3},   {"num_attention_heads", 4},
                     {"num_key_value_heads", 2}, {"max_position_embeddings", 128},
                     {"rms_norm_eps", 1e-5},     {"rope_theta", 10000.0},
                     {"hidden_act", "silu"},     {"tie_word_embeddings", false}};
    source.config.update(changes);
    auto made = description_from_config(source.config, Json());
    EXPECT_TRUE(made) << made.error().message;
    description = *made;
    std::mt19937 random(seed);
    for (const TensorSpec& spec : tensor_specs(description)) {
      const bool vector = spec.input < 0 && spec.role != Role::embedding;
      std::vector<int64_t> shape = {spec.rows, spec.columns};
      if (vector) shape = {spec.columns};
      // The spread keeps a product of normed inputs about as large as they are.
      const double spread = vector ? 0.2 : 1.5 / std::sqrt(static_cast<double>(spec.columns));
      add(spec.name, shape, vector ? 1 : 0, spread, random);
      if (spec.bias)
        add(spec.name.substr(0, spec.name.size() - 6) + "bias", {spec.rows}, 0, 0.3, random);
    }
    std::sort(source.tensors.begin(), source.tensors.end(),
              [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
    source.files = {{"model.safetensors", 1}};
  }

  /// Values of a tensor, to be changed in place.
  std::vector<float>& values(const std::string& name) {
    return *std::find_if(storage.begin(), storage.end(), [&](const auto& s) {
              return s.first == name;
            })->second;
  }

  SourceModel source;
  ModelDescription description;
  std::deque<std::pair<std::string, std::shared_ptr<std::vector<float>>>> storage;

 private:
  void add(const std::string& name, const std::vector<int64_t>& shape, double mean, double spread,
           std::mt19937& random) {
    int64_t count = 1;
    for (const int64_t size : shape) count *= size;
    auto data = std::make_shared<std::vector<float>>();
    std::normal_distribution<double> normal(mean, spread);
    for (int64_t i = 0; i < count; i++) data->push_back(static_cast<float>(normal(random)));
    SourceTensor tensor;
    tensor.name = name;
    tensor.shape = shape;
    tensor.bytes = std::as_bytes(std::span(*data));
    source.tensors.push_back(tensor);
    storage.emplace_back(name, std::move(data));
  }
};

/// What the blocks must be right for, each with sizes that are no multiple of anything.
inline std::vector<std::pair<const char*, Json>> model_variants() {
  return {
      {"llama", Json::object()},
      {"ragged, tied, biases",
       {{"hidden_size", 72},
        {"intermediate_size", 100},
        {"num_attention_heads", 3},
        {"num_key_value_heads", 1},
        {"head_dim", 22},
        {"tie_word_embeddings", true},
        {"attention_bias", true},
        {"mlp_bias", true}}},
      {"qwen2, linear positions",
       {{"model_type", "qwen2"}, {"rope_scaling", {{"rope_type", "linear"}, {"factor", 4.0}}}}},
      {"qwen3", {{"model_type", "qwen3"}, {"head_dim", 32}}},
      {"llama 3 positions",
       {{"rope_theta", 500.0},
        {"rope_scaling",
         {{"rope_type", "llama3"},
          {"factor", 8.0},
          {"low_freq_factor", 1.0},
          {"high_freq_factor", 4.0},
          {"original_max_position_embeddings", 64}}}}},
  };
}

inline std::vector<int32_t> random_tokens(int64_t count, unsigned seed, int64_t vocabulary) {
  std::mt19937 random(seed);
  std::vector<int32_t> out;
  for (int64_t i = 0; i < count; i++)
    out.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(vocabulary)));
  return out;
}

}  // namespace sqf
