#include "model/description.hpp"

#include <limits>
#include <optional>

namespace sqf {
namespace {

/// What sets a family apart from Llama. One row is all that a new one of this shape needs.
struct Family {
  const char* name;  ///< model_type in config.json
  bool qkv_bias;     ///< unless attention_bias says otherwise
  QkNorm qk_norm;
};
constexpr Family kFamilies[] = {
    {"llama", false, QkNorm::none},
    {"mistral", false, QkNorm::none},
    {"qwen2", true, QkNorm::none},
    {"qwen3", false, QkNorm::per_head},
};

/// Reads members of one JSON object and remembers the first problem.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool has(const char* name) const { return object_.contains(name) && !object_[name].is_null(); }

  int64_t integer(const char* name, int64_t low, int64_t high) {
    if (!has(name)) return missing(name, low);
    const Json& value = object_[name];
    const bool fits =
        value.is_number_unsigned()
            ? value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())
            : value.is_number_integer();
    if (!fits) return wrong(name, "no integer", low);
    const int64_t number = value.get<int64_t>();
    if (number < low || number > high) return wrong(name, "out of range", low);
    return number;
  }
  int64_t integer_or(const char* name, int64_t low, int64_t high, int64_t otherwise) {
    return has(name) ? integer(name, low, high) : otherwise;
  }
  float number(const char* name, double low, double high) {
    if (!has(name)) return static_cast<float>(missing(name, 1));
    if (!object_[name].is_number()) return static_cast<float>(wrong(name, "no number", 1));
    const double value = object_[name].get<double>();
    if (!(value >= low && value <= high)) return static_cast<float>(wrong(name, "out of range", 1));
    return static_cast<float>(value);
  }
  float number_or(const char* name, double low, double high, float otherwise) {
    return has(name) ? number(name, low, high) : otherwise;
  }
  bool boolean_or(const char* name, bool otherwise) {
    if (!has(name)) return otherwise;
    if (!object_[name].is_boolean()) return wrong(name, "no boolean", 0) != 0;
    return object_[name].get<bool>();
  }
  std::string string(const char* name) {
    if (!has(name)) {
      missing(name, 0);
      return "";
    }
    if (!object_[name].is_string()) {
      wrong(name, "no string", 0);
      return "";
    }
    return object_[name].get<std::string>();
  }
  /// One id or a list of ids.
  std::vector<int64_t> ids(const char* name, int64_t high) {
    std::vector<int64_t> out;
    if (!has(name)) return out;
    const Json& value = object_[name];
    const auto add = [&](const Json& id) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= high)
        wrong(name, "not a token id below vocab_size", 0);
      else
        out.push_back(id.get<int64_t>());
    };
    if (!value.is_array())
      add(value);
    else
      for (const Json& id : value) add(id);
    return out;
  }
  void refuse(const char* name, const std::string& why) { wrong(name, why, 0); }
  void not_supported(const std::string& what) {
    if (!problem) problem = unsupported(where_ + ": " + what);
  }

  std::optional<Error> problem;

 private:
  int64_t missing(const char* name, int64_t stand_in) {
    if (!problem) problem = malformed(where_ + ": \"" + name + "\" is missing");
    return stand_in;
  }
  int64_t wrong(const char* name, const std::string& why, int64_t stand_in) {
    if (!problem)
      problem = malformed(where_ + ": \"" + name + "\" is " +
                          (has(name) ? object_[name].dump().substr(0, 60) : "absent") + ": " + why);
    return stand_in;
  }

  const Json& object_;
  std::string where_;
};

constexpr int64_t kMaxSize = int64_t{1} << 24, kMaxLayers = 4096, kMaxContext = int64_t{1} << 26;

void read_sizes(Fields& f, ModelDescription& d) {
  d.vocab_size = f.integer("vocab_size", 1, kMaxSize);
  d.hidden_size = f.integer("hidden_size", 1, kMaxSize);
  d.intermediate_size = f.integer("intermediate_size", 1, kMaxSize);
}

/// What must hold whoever wrote the words down.
void check_consistency(Fields& f, const ModelDescription& d) {
  if (d.heads % d.kv_heads != 0) f.refuse("num_key_value_heads", "does not divide the heads");
  if (d.head_dim % 2 != 0) f.refuse("head_dim", "odd, so rotary pairs do not fit");
}

/// What config.json and META call the members of a rope scaling.
struct RopeNames {
  const char* unscaled;  ///< the kind that is no scaling
  const char* low_frequency;
  const char* high_frequency;
  const char* original_context;
};
constexpr RopeNames kConfigRope = {"default", "low_freq_factor", "high_freq_factor",
                                   "original_max_position_embeddings"};
constexpr RopeNames kMetaRope = {"none", "low_frequency", "high_frequency", "original_context"};

void read_rope(Fields& f, const RopeNames& names, const std::string& kind, ModelDescription& d) {
  if (kind == names.unscaled) return;
  if (kind != "linear" && kind != "llama3") {
    f.not_supported("rope scaling \"" + kind + "\"");
    return;
  }
  d.rope_factor = f.number("factor", 1e-3, 1e6);
  if (kind == "linear") {
    d.rope_scaling = RopeScaling::linear;
  } else {
    d.rope_scaling = RopeScaling::llama3;
    d.rope_low_frequency = f.number(names.low_frequency, 1e-3, 1e6);
    d.rope_high_frequency = f.number(names.high_frequency, 1e-3, 1e6);
    d.rope_original_context = f.integer(names.original_context, 1, kMaxContext);
    if (d.rope_high_frequency <= d.rope_low_frequency)
      f.refuse(names.high_frequency, std::string("not above ") + names.low_frequency);
  }
}

}  // namespace

Result<ModelDescription> description_from_config(const Json& config, const Json& generation) {
  if (!config.is_object()) return malformed("config.json: no object");
  Fields f(config, "config.json");
  ModelDescription d;
  d.architecture = f.string("model_type");
  if (f.problem) return *f.problem;
  const Family* family = nullptr;
  for (const Family& known : kFamilies)
    if (d.architecture == known.name) family = &known;
  if (family == nullptr) return unsupported("config.json: model_type \"" + d.architecture + "\"");
  if (f.has("quantization_config"))
    return unsupported("config.json: the weights are quantized already (quantization_config)");

  read_sizes(f, d);
  d.layers = f.integer("num_hidden_layers", 1, kMaxLayers);
  d.heads = f.integer("num_attention_heads", 1, 65536);
  d.kv_heads = f.integer_or("num_key_value_heads", 1, 65536, d.heads);
  if (!f.has("head_dim") && d.hidden_size % d.heads != 0)
    f.refuse("num_attention_heads", "does not divide hidden_size " + std::to_string(d.hidden_size));
  d.head_dim = f.integer_or("head_dim", 2, 8192, std::max<int64_t>(d.hidden_size / d.heads, 2));
  d.context_length = f.integer("max_position_embeddings", 1, kMaxContext);
  d.norm_epsilon = f.number_or("rms_norm_eps", 1e-12, 1, 1e-6f);
  d.tied = f.boolean_or("tie_word_embeddings", false);
  d.qk_norm = family->qk_norm;
  const bool attention_bias = f.boolean_or("attention_bias", false);
  d.qkv_bias = family->qkv_bias || attention_bias;
  d.output_bias = attention_bias;
  d.mlp_bias = f.boolean_or("mlp_bias", false);
  if (f.has("hidden_act") && f.string("hidden_act") != "silu")
    f.not_supported("hidden_act " + config["hidden_act"].dump());
  if (f.has("sliding_window") && f.boolean_or("use_sliding_window", true) &&
      f.integer("sliding_window", 1, kMaxContext) < d.context_length)
    f.not_supported("sliding-window attention");

  if (f.number_or("partial_rotary_factor", 0, 1, 1) != 1)
    f.not_supported("partial_rotary_factor " + config["partial_rotary_factor"].dump());

  // Newer files keep theta and the scaling together under "rope_parameters".
  const Json none = Json::object();
  const char* scaling_name = f.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const Json& rope = f.has(scaling_name) ? config[scaling_name] : none;
  if (!rope.is_object())
    return malformed(std::string("config.json: \"") + scaling_name + "\" is no object");
  Fields scaling(rope, std::string("config.json ") + scaling_name);
  d.rope_theta = scaling.has("rope_theta") ? scaling.number("rope_theta", 1, 1e12)
                                           : f.number_or("rope_theta", 1, 1e12, 10000);
  const char* kind = scaling.has("rope_type") ? "rope_type" : "type";
  read_rope(scaling, kConfigRope, scaling.has(kind) ? scaling.string(kind) : "default", d);

  d.bos_id = f.integer_or("bos_token_id", 0, d.vocab_size - 1, -1);
  d.eos_ids = f.ids("eos_token_id", d.vocab_size);
  if (generation.is_object()) {
    Fields g(generation, "generation_config.json");
    if (g.has("eos_token_id")) d.eos_ids = g.ids("eos_token_id", d.vocab_size);
    if (g.problem) return *g.problem;
  }
  check_consistency(f, d);
  if (f.problem) return *f.problem;
  if (scaling.problem) return *scaling.problem;
  return d;
}

namespace {

constexpr const char* kRopeNames[] = {"none", "linear", "llama3"};
constexpr const char* kQkNormNames[] = {"none", "per_head"};

}  // namespace

Json description_to_json(const ModelDescription& d) {
  Json rope = {{"theta", d.rope_theta},
               {"pairing", "half"},
               {"scaling", kRopeNames[static_cast<size_t>(d.rope_scaling)]}};
  if (d.rope_scaling != RopeScaling::none) rope["factor"] = d.rope_factor;
  if (d.rope_scaling == RopeScaling::llama3) {
    rope["low_frequency"] = d.rope_low_frequency;
    rope["high_frequency"] = d.rope_high_frequency;
    rope["original_context"] = d.rope_original_context;
  }
  return {{"architecture", d.architecture},
          {"vocab_size", d.vocab_size},
          {"hidden_size", d.hidden_size},
          {"intermediate_size", d.intermediate_size},
          {"layers", d.layers},
          {"heads", d.heads},
          {"kv_heads", d.kv_heads},
          {"head_dim", d.head_dim},
          {"context_length", d.context_length},
          {"norm", {{"kind", "rms"}, {"epsilon", d.norm_epsilon}}},
          {"activation", "silu"},
          {"qk_norm", kQkNormNames[static_cast<size_t>(d.qk_norm)]},
          {"qkv_bias", d.qkv_bias},
          {"output_bias", d.output_bias},
          {"mlp_bias", d.mlp_bias},
          {"tied", d.tied},
          {"rope", rope},
          {"bos_id", d.bos_id},
          {"eos_ids", d.eos_ids}};
}

Result<ModelDescription> description_from_json(const Json& model) {
  if (!model.is_object()) return malformed("META model: no object");
  Fields f(model, "META model");
  ModelDescription d;
  d.architecture = f.string("architecture");
  read_sizes(f, d);
  d.layers = f.integer("layers", 1, kMaxLayers);
  d.heads = f.integer("heads", 1, 65536);
  d.kv_heads = f.integer("kv_heads", 1, 65536);
  d.head_dim = f.integer("head_dim", 2, 8192);
  d.context_length = f.integer("context_length", 1, kMaxContext);
  d.qkv_bias = f.boolean_or("qkv_bias", false);
  d.output_bias = f.boolean_or("output_bias", false);
  d.mlp_bias = f.boolean_or("mlp_bias", false);
  d.tied = f.boolean_or("tied", false);
  d.bos_id = f.integer_or("bos_id", -1, d.vocab_size - 1, -1);
  d.eos_ids = f.ids("eos_ids", d.vocab_size);
  const std::string activation = f.string("activation");
  if (activation != "silu") f.not_supported("activation \"" + activation + "\"");
  const std::string qk_norm = f.string("qk_norm");
  if (qk_norm == kQkNormNames[1])
    d.qk_norm = QkNorm::per_head;
  else if (qk_norm != kQkNormNames[0])
    f.not_supported("qk_norm \"" + qk_norm + "\"");
  check_consistency(f, d);
  if (f.problem) return *f.problem;

  for (const char* name : {"norm", "rope"})
    if (!f.has(name) || !model[name].is_object())
      return malformed(std::string("META model: \"") + name + "\" is missing or no object");
  Fields norm(model["norm"], "META model norm");
  d.norm_epsilon = norm.number("epsilon", 0, 1);
  const std::string kind = norm.string("kind");
  if (kind != "rms") norm.not_supported("norm kind \"" + kind + "\"");
  if (norm.problem) return *norm.problem;
  Fields rope(model["rope"], "META model rope");
  d.rope_theta = rope.number("theta", 1, 1e12);
  if (rope.string("pairing") != "half") rope.not_supported("rotary pairing other than half");
  read_rope(rope, kMetaRope, rope.string("scaling"), d);
  if (rope.problem) return *rope.problem;
  return d;
}

std::vector<TensorSpec> tensor_specs(const ModelDescription& d) {
  std::vector<TensorSpec> specs;
  int64_t input = 0;
  const auto add = [&](Role role, int64_t layer, const std::string& name, int64_t rows,
                       int64_t columns, bool bias, int64_t reads) {
    const std::string prefix = layer < 0 ? "model." : "model.layers." + std::to_string(layer) + ".";
    specs.push_back({role, layer, prefix + name + ".weight", rows, columns, bias, reads});
  };
  const int64_t q_rows = d.heads * d.head_dim, kv_rows = d.kv_heads * d.head_dim;
  if (!d.tied) add(Role::embedding, -1, "embed_tokens", d.vocab_size, d.hidden_size, false, -1);
  for (int64_t l = 0; l < d.layers; l++) {
    add(Role::attention_norm, l, "input_layernorm", 1, d.hidden_size, false, -1);
    add(Role::q, l, "self_attn.q_proj", q_rows, d.hidden_size, d.qkv_bias, input);
    add(Role::k, l, "self_attn.k_proj", kv_rows, d.hidden_size, d.qkv_bias, input);
    add(Role::v, l, "self_attn.v_proj", kv_rows, d.hidden_size, d.qkv_bias, input);
    if (d.qk_norm == QkNorm::per_head) {
      add(Role::q_norm, l, "self_attn.q_norm", 1, d.head_dim, false, -1);
      add(Role::k_norm, l, "self_attn.k_norm", 1, d.head_dim, false, -1);
    }
    add(Role::o, l, "self_attn.o_proj", d.hidden_size, q_rows, d.output_bias, input + 1);
    add(Role::mlp_norm, l, "post_attention_layernorm", 1, d.hidden_size, false, -1);
    add(Role::gate, l, "mlp.gate_proj", d.intermediate_size, d.hidden_size, d.mlp_bias, input + 2);
    add(Role::up, l, "mlp.up_proj", d.intermediate_size, d.hidden_size, d.mlp_bias, input + 2);
    add(Role::down, l, "mlp.down_proj", d.hidden_size, d.intermediate_size, d.mlp_bias, input + 3);
    input += 4;
  }
  add(Role::final_norm, -1, "norm", 1, d.hidden_size, false, -1);
  if (d.tied)
    add(Role::head, -1, "embed_tokens", d.vocab_size, d.hidden_size, false, input);
  else
    specs.push_back({Role::head, -1, "lm_head.weight", d.vocab_size, d.hidden_size, false, input});
  return specs;
}

}  // namespace sqf
