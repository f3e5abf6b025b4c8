#include "converter/gguf_model.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "converter/gguf_tokenizer.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr int64_t kMaxCount = 1 << 24;

struct Name {
  std::string_view gguf;
  std::string_view hugging_face;
};

constexpr Name kModelNames[] = {
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
};

constexpr Name kLayerNames[] = {
    {"attn_norm.weight", "input_layernorm.weight"},
    {"attn_q.weight", "self_attn.q_proj.weight"},
    {"attn_q.bias", "self_attn.q_proj.bias"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_v.weight", "self_attn.v_proj.weight"},
    {"attn_v.bias", "self_attn.v_proj.bias"},
    {"attn_output.weight", "self_attn.o_proj.weight"},
    {"attn_output.bias", "self_attn.o_proj.bias"},
    {"ffn_norm.weight", "post_attention_layernorm.weight"},
    {"ffn_gate.weight", "mlp.gate_proj.weight"},
    {"ffn_gate.bias", "mlp.gate_proj.bias"},
    {"ffn_up.weight", "mlp.up_proj.weight"},
    {"ffn_up.bias", "mlp.up_proj.bias"},
    {"ffn_down.weight", "mlp.down_proj.weight"},
    {"ffn_down.bias", "mlp.down_proj.bias"},
};

/// Reads "llama.*" values and remembers the first thing wrong with them.
class Words {
 public:
  Words(const GgufFile& file, std::string_view what) : file_(file), what_(what) {}

  bool failed() const { return failed_; }
  const Error& error() const { return error_; }
  bool has(const std::string& key) const { return file_.find(key) != nullptr; }

  /// A positive count; `fallback` where the key is absent, 0 meaning that it must be there.
  int64_t count(const std::string& key, int64_t fallback) {
    const GgufValue* value = scalar(key, fallback != 0);
    if (value == nullptr) return fallback;
    const std::optional<int64_t> number = gguf_integer(*value, 0);
    if (!number || *number < 1 || *number > kMaxCount) {
      fail(malformed(key + " is " + (number ? std::to_string(*number) : "not an integer") +
                     "; 1 to " + std::to_string(kMaxCount) + " is expected"));
      return fallback;
    }
    return *number;
  }

  /// A positive finite number. An f32 is given as its shortest decimal, so that 1e-5 stays 1e-5.
  double number(const std::string& key, double fallback) {
    const GgufValue* value = scalar(key, fallback != 0);
    if (value == nullptr) return fallback;
    const std::optional<double> found = gguf_number(*value, 0);
    if (!found || !std::isfinite(*found) || *found <= 0) {
      fail(malformed(key + " is not a positive number"));
      return fallback;
    }
    return value->type == GgufType::f32 ? shortest(static_cast<float>(*found)) : *found;
  }

  /// Empty where the key is absent.
  std::string text(const std::string& key) {
    const GgufValue* value = scalar(key, true);
    if (value == nullptr) return "";
    if (value->type == GgufType::string) return std::string(value->strings[0]);
    fail(malformed(key + " is not a string"));
    return "";
  }

  void fail(Error error) {
    if (failed_) return;
    failed_ = true;
    error.message = what_ + ": " + error.message;
    error_ = std::move(error);
  }

 private:
  const GgufValue* scalar(const std::string& key, bool optional) {
    const GgufValue* value = file_.find(key);
    if (value == nullptr) {
      if (!optional) fail(malformed(key + " is missing"));
      return nullptr;
    }
    if (value->is_array) {
      fail(unsupported(key + " is an array; one value for all layers is expected"));
      return nullptr;
    }
    return value;
  }

  static double shortest(float value) {
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    double out = 0;
    std::from_chars(text, end, out);
    return out;
  }

  const GgufFile& file_;
  std::string what_;
  bool failed_ = false;
  Error error_;
};

const GgufTensor* find_tensor(const GgufFile& file, std::string_view name) {
  for (const GgufTensor& tensor : file.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

/// rope_scaling's value, null where positions are not scaled.
Json rope_scaling(Words& words) {
  const std::string type = words.text("llama.rope.scaling.type");
  const double old = words.number("llama.rope.scale_linear", 1);
  const double factor = words.number("llama.rope.scaling.factor", old);
  if (type == "none" || (type.empty() && factor == 1)) return nullptr;
  if (!type.empty() && type != "linear") {
    words.fail(unsupported("rope scaling of type " + in_quotes(type)));
    return nullptr;
  }
  if (factor == 1) return nullptr;
  return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", factor}};
}

void check_rotary(Words& words, int64_t head_dim) {
  const int64_t value_dim = words.count("llama.attention.value_length", head_dim);
  if (value_dim != head_dim)
    words.fail(unsupported("value heads of " + std::to_string(value_dim) + " beside key heads of " +
                           std::to_string(head_dim)));
  const int64_t rotated = words.count("llama.rope.dimension_count", head_dim);
  if (rotated != head_dim)
    words.fail(unsupported("rotary embedding over " + std::to_string(rotated) + " of " +
                           std::to_string(head_dim) + " head dimensions"));
  if (head_dim % 2 != 0)
    words.fail(malformed("head dimension " + std::to_string(head_dim) + " is odd"));
}

/// Nothing that would change the mathematics and has no word in the config made here.
void check_plain(Words& words, const GgufFile& file) {
  if (find_tensor(file, "rope_freqs.weight") != nullptr)
    words.fail(unsupported("frequency factors (tensor rope_freqs.weight, Llama 3.1 and later)"));
  if (words.has("llama.expert_count"))
    words.fail(unsupported("mixture of experts (llama.expert_count)"));
  if (words.has("llama.attention.scale")) words.fail(unsupported("llama.attention.scale"));
}

int64_t embedding_rows(Words& words, const GgufFile& file) {
  const GgufTensor* embedding = find_tensor(file, "token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    words.fail(malformed("tensor token_embd.weight is missing or not a matrix"));
    return 1;
  }
  const int64_t rows = embedding->shape[0];
  const int64_t stated = words.count("llama.vocab_size", rows);
  if (stated != rows)
    words.fail(malformed("llama.vocab_size is " + std::to_string(stated) +
                         ", but token_embd.weight has " + std::to_string(rows) + " rows"));
  return rows;
}

/// "blk.12.attn_q.weight" -> 12 and "attn_q.weight"; nothing where it is no such name.
bool split_layer_name(std::string_view name, int64_t& layer, std::string_view& rest) {
  if (!name.starts_with("blk.")) return false;
  name.remove_prefix(4);
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos || (dot > 1 && name[0] == '0')) return false;
  const auto parsed = std::from_chars(name.data(), name.data() + dot, layer);
  if (parsed.ec != std::errc() || parsed.ptr != name.data() + dot || layer < 0) return false;
  rest = name.substr(dot + 1);
  return true;
}

template <size_t N>
std::string_view translate(const Name (&names)[N], std::string_view gguf) {
  for (const Name& name : names)
    if (name.gguf == gguf) return name.hugging_face;
  return "";
}

/// The tensor's Hugging Face name, empty where it has none.
std::string hugging_face_name(std::string_view gguf, int64_t layers) {
  int64_t layer = 0;
  std::string_view rest;
  if (!split_layer_name(gguf, layer, rest)) return std::string(translate(kModelNames, gguf));
  const std::string_view name = translate(kLayerNames, rest);
  if (name.empty() || layer >= layers) return "";
  return "model.layers." + std::to_string(layer) + "." + std::string(name);
}

/// How many heads the tensor's rows are interleaved by; 0 for all but query and key.
int64_t rotary_heads(std::string_view name, const Json& config) {
  if (name.find(".q_proj.") != std::string_view::npos)
    return config["num_attention_heads"].get<int64_t>();
  if (name.find(".k_proj.") != std::string_view::npos)
    return config["num_key_value_heads"].get<int64_t>();
  return 0;
}

}  // namespace

Result<Json> gguf_config(const GgufFile& file, std::string_view what) {
  Words words(file, what);
  const std::string architecture = words.text("general.architecture");
  if (words.failed()) return words.error();
  if (architecture != "llama")
    return unsupported(std::string(what) + ": architecture " + in_quotes(architecture) +
                       "; of GGUF files only llama can be converted");
  check_plain(words, file);
  const int64_t hidden = words.count("llama.embedding_length", 0);
  const int64_t heads = words.count("llama.attention.head_count", 0);
  const int64_t key_heads = words.count("llama.attention.head_count_kv", heads);
  const bool explicit_dim = words.has("llama.attention.key_length");
  if (!words.failed() && (heads % key_heads != 0 || (!explicit_dim && hidden % heads != 0)))
    words.fail(malformed(std::to_string(heads) + " heads do not divide by " +
                         std::to_string(key_heads) + " key heads, or into width " +
                         std::to_string(hidden)));
  const int64_t head_dim = words.failed() ? 2
                                          : words.count("llama.attention.key_length",
                                                        std::max<int64_t>(hidden / heads, 1));
  check_rotary(words, head_dim);
  const int64_t vocabulary = embedding_rows(words, file);
  if (words.failed()) return words.error();
  Json config = {
      {"architectures", Json::array({"LlamaForCausalLM"})},
      {"model_type", "llama"},
      {"hidden_act", "silu"},
      {"hidden_size", hidden},
      {"intermediate_size", words.count("llama.feed_forward_length", 0)},
      {"num_hidden_layers", words.count("llama.block_count", 0)},
      {"num_attention_heads", heads},
      {"num_key_value_heads", key_heads},
      {"head_dim", head_dim},
      {"rms_norm_eps", words.number("llama.attention.layer_norm_rms_epsilon", 0)},
      {"rope_theta", words.number("llama.rope.freq_base", 10000)},
      {"rope_scaling", rope_scaling(words)},
      {"max_position_embeddings", words.count("llama.context_length", 0)},
      {"vocab_size", vocabulary},
      {"tie_word_embeddings", find_tensor(file, "output.weight") == nullptr},
      {"attention_bias", find_tensor(file, "blk.0.attn_q.bias") != nullptr},
      {"mlp_bias", find_tensor(file, "blk.0.ffn_up.bias") != nullptr},
  };
  if (words.failed()) return words.error();
  return config;
}

Result<std::vector<SourceTensor>> gguf_tensors(const GgufFile& file, const Json& config,
                                               std::string_view what) {
  const int64_t layers = config["num_hidden_layers"].get<int64_t>();
  const int64_t head_dim = config["head_dim"].get<int64_t>();
  std::vector<SourceTensor> tensors;
  for (const GgufTensor& from : file.tensors) {
    const std::string where = std::string(what) + ": tensor " + in_quotes(from.name);
    SourceTensor tensor;
    tensor.name = hugging_face_name(from.name, layers);
    if (tensor.name.empty())
      return unsupported(where + " is not one that a llama model of " + std::to_string(layers) +
                         " layers has");
    if (from.shape.size() > 2)
      return malformed(where + " has rank " + std::to_string(from.shape.size()) +
                       "; 1 or 2 is expected");
    tensor.type = from.type;
    tensor.shape = from.shape;
    tensor.bytes = from.bytes;
    tensor.rotary_heads = rotary_heads(tensor.name, config);
    if (tensor.rotary_heads > 0 && from.shape[0] != tensor.rotary_heads * head_dim)
      return malformed(where + " has " + std::to_string(from.shape[0]) + " rows, but " +
                       std::to_string(tensor.rotary_heads) + " heads of " +
                       std::to_string(head_dim) + " are expected");
    tensors.push_back(std::move(tensor));
  }
  std::sort(tensors.begin(), tensors.end(),
            [](const SourceTensor& a, const SourceTensor& b) { return a.name < b.name; });
  return tensors;
}

Result<SourceModel> open_gguf(const std::filesystem::path& path, Mapping mapping) {
  const std::string what = path.string();
  Result<GgufFile> file = read_gguf(mapping.bytes(), what);
  if (!file) return file.error();
  Result<Json> config = gguf_config(*file, what);
  if (!config) return config.error();
  SourceModel model;
  model.config = *std::move(config);
  Result<std::vector<SourceTensor>> tensors = gguf_tensors(*file, model.config, what);
  if (!tensors) return tensors.error();
  model.tensors = *std::move(tensors);
  const int64_t vocabulary = model.config["vocab_size"].get<int64_t>();
  Result<GgufTokenizer> tokenizer = read_gguf_tokenizer(*file, vocabulary, what);
  if (!tokenizer) return tokenizer.error();
  model.tokenizer_json = std::move(tokenizer->tokenizer_json);
  model.chat_template = std::move(tokenizer->chat_template);
  model.tokenizer_config = std::move(tokenizer->tokenizer_config);
  model.generation_config = std::move(tokenizer->generation_config);
  for (const auto& [word, id] : model.generation_config.items()) model.config[word] = id;
  model.files.push_back({path.filename().string(), mapping.bytes().size()});
  model.mappings.push_back(std::move(mapping));
  return model;
}

}  // namespace sqf
