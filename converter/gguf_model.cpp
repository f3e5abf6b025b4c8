#include "converter/gguf_model.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "converter/gguf_tokenizer.hpp"
#include "format/scalar.hpp"
#include "format/text.hpp"

namespace sqf {
namespace {

constexpr int64_t kMaxCount = 1 << 24;
constexpr std::string_view kRopeFactors = "rope_freqs.weight";
// What Llama 3.1, 3.2 and 3.3 have in common; GGUF does not say it.
constexpr double kLlama3Low = 1, kLlama3High = 4, kLlama3Context = 8192;

struct Name {
  std::string_view gguf;
  std::string_view hugging_face;
};

/// Architectures of GGUF files, in Hugging Face's words. `interleaved`: rotary rows are, in q and
/// k.
struct Architecture {
  std::string_view gguf, class_name;
  bool interleaved;
};

constexpr Architecture kArchitectures[] = {
    {"llama", "LlamaForCausalLM", true},
    {"qwen2", "Qwen2ForCausalLM", false},
    {"qwen3", "Qwen3ForCausalLM", false},
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
    {"attn_q_norm.weight", "self_attn.q_norm.weight"},
    {"attn_k.weight", "self_attn.k_proj.weight"},
    {"attn_k.bias", "self_attn.k_proj.bias"},
    {"attn_k_norm.weight", "self_attn.k_norm.weight"},
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

/// Reads the values whose keys begin with `prefix`, and remembers the first thing wrong with them.
class Words {
 public:
  Words(const GgufFile& file, std::string_view what, std::string prefix)
      : file_(file), what_(what), prefix_(std::move(prefix)) {}

  bool failed() const { return failed_; }
  const Error& error() const { return error_; }
  bool has(const std::string& name) const { return file_.find(prefix_ + name) != nullptr; }

  /// A positive count; `fallback` where the key is absent, 0 meaning that it must be there.
  int64_t count(const std::string& name, int64_t fallback) {
    const std::string key = prefix_ + name;
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
  double number(const std::string& name, double fallback) {
    const std::string key = prefix_ + name;
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
  std::string text(const std::string& name) {
    const std::string key = prefix_ + name;
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
  std::string what_, prefix_;
  bool failed_ = false;
  Error error_;
};

const GgufTensor* find_tensor(const GgufFile& file, std::string_view name) {
  for (const GgufTensor& tensor : file.tensors)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

/// The factor of Llama 3.1 and later, whose frequencies' own factors the file has as a tensor;
/// nothing where the tensor holds anything else. Source: Transformers' "llama3" rope scaling.
std::optional<double> llama3_factor(const GgufTensor& factors, double theta, int64_t head_dim) {
  const auto count = static_cast<size_t>(head_dim / 2);
  if (factors.type != SourceType::f32 || factors.bytes.size() != count * sizeof(float))
    return std::nullopt;
  const auto stored = [&](size_t i) { return double{load<float>(factors.bytes.data() + 4 * i)}; };
  const double factor = stored(count - 1);  // of the lowest frequency
  for (size_t i = 0; i < count; i++) {
    const double turns =
        kLlama3Context / (2 * std::numbers::pi) *
        std::pow(theta, -2 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double smooth = std::clamp((turns - kLlama3Low) / (kLlama3High - kLlama3Low), 0.0, 1.0);
    const double expected = 1 / ((1 - smooth) / factor + smooth);
    if (!(std::fabs(stored(i) - expected) <= 1e-4 * expected)) return std::nullopt;
  }
  return factor;
}

/// rope_scaling's value, null where positions are not scaled.
Json rope_scaling(Words& words, const GgufFile& file, double theta, int64_t head_dim) {
  if (const GgufTensor* factors = find_tensor(file, kRopeFactors)) {
    const auto factor = llama3_factor(*factors, theta, head_dim);
    if (!factor) {
      words.fail(
          unsupported("frequency factors (tensor rope_freqs.weight) that are not Llama 3's"));
      return nullptr;
    }
    return {{"rope_type", "llama3"},
            {"factor", *factor},
            {"low_freq_factor", kLlama3Low},
            {"high_freq_factor", kLlama3High},
            {"original_max_position_embeddings", static_cast<int64_t>(kLlama3Context)}};
  }
  const std::string type = words.text("rope.scaling.type");
  const double old = words.number("rope.scale_linear", 1);
  const double factor = words.number("rope.scaling.factor", old);
  if (type == "none" || (type.empty() && factor == 1)) return nullptr;
  if (!type.empty() && type != "linear") {
    words.fail(unsupported("rope scaling of type " + in_quotes(type)));
    return nullptr;
  }
  if (factor == 1) return nullptr;
  return {{"rope_type", "linear"}, {"type", "linear"}, {"factor", factor}};
}

void check_rotary(Words& words, int64_t head_dim) {
  const int64_t value_dim = words.count("attention.value_length", head_dim);
  if (value_dim != head_dim)
    words.fail(unsupported("value heads of " + std::to_string(value_dim) + " beside key heads of " +
                           std::to_string(head_dim)));
  const int64_t rotated = words.count("rope.dimension_count", head_dim);
  if (rotated != head_dim)
    words.fail(unsupported("rotary embedding over " + std::to_string(rotated) + " of " +
                           std::to_string(head_dim) + " head dimensions"));
  if (head_dim % 2 != 0)
    words.fail(malformed("head dimension " + std::to_string(head_dim) + " is odd"));
}

/// Nothing that would change the mathematics and has no word in the config made here.
void check_plain(Words& words) {
  if (words.has("expert_count")) words.fail(unsupported("mixture of experts (expert_count)"));
  if (words.has("attention.scale")) words.fail(unsupported("an attention scale of its own"));
}

int64_t embedding_rows(Words& words, const GgufFile& file) {
  const GgufTensor* embedding = find_tensor(file, "token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    words.fail(malformed("tensor token_embd.weight is missing or not a matrix"));
    return 1;
  }
  const int64_t rows = embedding->shape[0];
  const int64_t stated = words.count("vocab_size", rows);
  if (stated != rows)
    words.fail(malformed("vocab_size is " + std::to_string(stated) +
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

/// How many heads the tensor's rows are interleaved by; 0 for all but Llama's query and key.
int64_t rotary_heads(std::string_view name, const Json& config) {
  const auto of_config = [&](const Architecture& a) { return config["model_type"] == a.gguf; };
  if (!std::ranges::find_if(kArchitectures, of_config)->interleaved) return 0;
  if (name.find(".q_proj.") != std::string_view::npos)
    return config["num_attention_heads"].get<int64_t>();
  if (name.find(".k_proj.") != std::string_view::npos)
    return config["num_key_value_heads"].get<int64_t>();
  return 0;
}

}  // namespace

Result<Json> gguf_config(const GgufFile& file, std::string_view what) {
  Words general(file, what, "");
  const std::string name = general.text("general.architecture");
  if (general.failed()) return general.error();
  const auto* const architecture = std::ranges::find(kArchitectures, name, &Architecture::gguf);
  if (architecture == std::end(kArchitectures))
    return unsupported(std::string(what) + ": architecture " + in_quotes(name) +
                       "; of GGUF files llama, qwen2 and qwen3 can be converted");
  Words words(file, what, name + ".");
  check_plain(words);
  const int64_t hidden = words.count("embedding_length", 0);
  const int64_t heads = words.count("attention.head_count", 0);
  const int64_t key_heads = words.count("attention.head_count_kv", heads);
  const bool explicit_dim = words.has("attention.key_length");
  if (!words.failed() && (heads % key_heads != 0 || (!explicit_dim && hidden % heads != 0)))
    words.fail(malformed(std::to_string(heads) + " heads do not divide by " +
                         std::to_string(key_heads) + " key heads, or into width " +
                         std::to_string(hidden)));
  const int64_t head_dim =
      words.failed() ? 2
                     : words.count("attention.key_length", std::max<int64_t>(hidden / heads, 1));
  check_rotary(words, head_dim);
  const int64_t vocabulary = embedding_rows(words, file);
  const double theta = words.number("rope.freq_base", 10000);
  if (words.failed()) return words.error();
  Json config = {
      {"architectures", Json::array({architecture->class_name})},
      {"model_type", architecture->gguf},
      {"hidden_act", "silu"},
      {"hidden_size", hidden},
      {"intermediate_size", words.count("feed_forward_length", 0)},
      {"num_hidden_layers", words.count("block_count", 0)},
      {"num_attention_heads", heads},
      {"num_key_value_heads", key_heads},
      {"head_dim", head_dim},
      {"rms_norm_eps", words.number("attention.layer_norm_rms_epsilon", 0)},
      {"rope_theta", theta},
      {"rope_scaling", rope_scaling(words, file, theta, head_dim)},
      {"max_position_embeddings", words.count("context_length", 0)},
      {"vocab_size", vocabulary},
      {"tie_word_embeddings", find_tensor(file, "output.weight") == nullptr},
      // Qwen2 has biases of q, k and v without a word for it.
      {"attention_bias", name != "qwen2" && find_tensor(file, "blk.0.attn_q.bias") != nullptr},
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
    if (from.name == kRopeFactors) continue;  // gguf_config has read it
    const std::string where = std::string(what) + ": tensor " + in_quotes(from.name);
    SourceTensor tensor;
    tensor.name = hugging_face_name(from.name, layers);
    if (tensor.name.empty())
      return unsupported(where + " is not one that a " + config["model_type"].get<std::string>() +
                         " model of " + std::to_string(layers) + " layers has");
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
