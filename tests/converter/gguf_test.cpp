// GGUF files: the container, the Llama architecture in Hugging Face's words, and refusals.
#include "converter/gguf.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <functional>

#include "converter/gguf_model.hpp"
#include "format/scalar.hpp"
#include "tests/converter/inputs.hpp"

namespace sqf {
namespace {

Result<SourceModel> open_bytes(const std::string& bytes) {
  const TempFolder folder;
  return open_source(folder.write("model.bin", bytes));
}

TEST(Gguf, ReadsALlamaModel) {
  GgufBuilder in = llama_words();
  in.f32("llama.rope.freq_base", 1e6f).text("llama.rope.scaling.type", "linear");
  in.f32("llama.rope.scaling.factor", 2.5f);
  add_embedding(in);
  in.tensor("output_norm.weight", {8}, 0, f32_bytes(counting(8)));
  in.tensor("output.weight", {8, 4}, 1, std::string(64, '\0'));
  in.tensor("blk.0.attn_q.weight", {8, 8}, 0, f32_bytes(counting(64)));
  in.tensor("blk.0.attn_k.weight", {8, 4}, 0, f32_bytes(counting(32)));
  in.tensor("blk.0.attn_k.bias", {4}, 0, f32_bytes(counting(4)));
  in.tensor("blk.0.attn_v.weight", {8, 4}, 30, std::string(64, '\0'));
  in.tensor("blk.0.ffn_down.weight", {32, 8}, 8, std::string(8 * 34, '\0'));
  Result<SourceModel> model = open_bytes(in.bytes());
  ASSERT_TRUE(model) << model.error().message;
  const Json expected = Json::parse(R"({
      "architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_act":"silu","hidden_size":8,
      "intermediate_size":16,"num_hidden_layers":1,"num_attention_heads":2,"head_dim":4,
      "num_key_value_heads":1,"rms_norm_eps":1e-05,"rope_theta":1000000.0,
      "rope_scaling":{"rope_type":"linear","type":"linear","factor":2.5},
      "max_position_embeddings":64,"vocab_size":4,"tie_word_embeddings":false,
      "attention_bias":false,"mlp_bias":false})");
  EXPECT_EQ(model->config, expected);
  EXPECT_EQ(model->config["rms_norm_eps"].dump(), "1e-05");
  std::vector<std::string> names;
  for (const SourceTensor& tensor : model->tensors) names.push_back(tensor.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{
                "lm_head.weight", "model.embed_tokens.weight",
                "model.layers.0.mlp.down_proj.weight", "model.layers.0.self_attn.k_proj.bias",
                "model.layers.0.self_attn.k_proj.weight", "model.layers.0.self_attn.q_proj.weight",
                "model.layers.0.self_attn.v_proj.weight", "model.norm.weight"}));
  EXPECT_EQ(model->tensors[2].shape, (std::vector<int64_t>{8, 32}));
  EXPECT_EQ(model->tensors[2].type, SourceType::q8_0);
  EXPECT_EQ(model->tensors[3].rotary_heads, 1);
  EXPECT_EQ(model->tensors[5].rotary_heads, 2);
  EXPECT_EQ(model->tensors[6].rotary_heads, 0);
  std::vector<float> row(8);
  read_rows(model->tensors[5], 1, 1, row.data());  // second of the first half: stored third
  EXPECT_EQ(row[0], 16.0f);
  EXPECT_EQ(model->tokenizer_json, "");
  EXPECT_EQ(model->files[0].name, "model.bin");
}

TEST(Gguf, DefaultsAreThoseOfTheFormat) {
  GgufBuilder in = llama_words();
  Result<SourceModel> model = open_bytes(add_embedding(in).bytes());
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model->config["rope_theta"], 10000.0);
  EXPECT_TRUE(model->config["rope_scaling"].is_null());
  EXPECT_EQ(model->config["tie_word_embeddings"], true);
}

/// Rows of q and k are as Hugging Face has them; Qwen2 has biases without a word for them.
TEST(Gguf, ReadsQwen) {
  for (const std::string name : {"qwen2", "qwen3"}) {
    GgufBuilder in = model_words(name);
    in.u32(name + ".attention.key_length", 4);
    add_embedding(in).tensor("blk.0.attn_q.weight", {8, 8}, 0, f32_bytes(counting(64)));
    if (name == "qwen2")
      in.tensor("blk.0.attn_q.bias", {8}, 0, f32_bytes(counting(8)));
    else
      in.tensor("blk.0.attn_q_norm.weight", {4}, 0, f32_bytes(counting(4)));
    Result<SourceModel> model = open_bytes(in.bytes());
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->config["model_type"], name);
    EXPECT_EQ(model->config["attention_bias"], false);
    EXPECT_EQ(model->config["head_dim"], 4);
    ASSERT_EQ(model->tensors.size(), 3u);
    for (const SourceTensor& tensor : model->tensors) EXPECT_EQ(tensor.rotary_heads, 0);
    EXPECT_EQ(model->tensors[1].name, name == "qwen2" ? "model.layers.0.self_attn.q_proj.bias"
                                                      : "model.layers.0.self_attn.q_norm.weight");
  }
}

/// Factors as a converter for Llama 3.1 stores them.
TEST(Gguf, FrequencyFactorsOfLlama3) {
  std::vector<float> factors(8);
  for (size_t i = 0; i < 8; i++) {
    const double wavelength = 2 * M_PI * std::pow(500000.0, static_cast<double>(i) / 8);
    const double smooth = (8192 / wavelength - 1) / 3;
    factors[i] = static_cast<float>(wavelength < 2048   ? 1
                                    : wavelength > 8192 ? 32
                                                        : 1 / ((1 - smooth) / 32 + smooth));
  }
  EXPECT_GT(factors[4], 1);
  EXPECT_LT(factors[4], 32);
  for (const bool other : {false, true}) {
    GgufBuilder in = llama_words();
    in.u32("llama.attention.key_length", 16).u32("llama.attention.value_length", 16);
    in.f32("llama.rope.freq_base", 500000);
    factors[4] *= other ? 1.01f : 1.0f;
    add_embedding(in).tensor("rope_freqs.weight", {8}, 0, f32_bytes(factors));
    const Result<SourceModel> model = open_bytes(in.bytes());
    if (other) {
      EXPECT_NE(message_of(model).find("not Llama 3's"), std::string::npos) << message_of(model);
      continue;
    }
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->config["rope_scaling"], Json::parse(R"({"rope_type":"llama3","factor":32.0,
        "low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192})"));
    EXPECT_EQ(model->tensors.size(), 1u);
  }
}

struct BadGguf {
  std::string name;
  std::function<void(GgufBuilder&)> spoil;  ///< applied to good metadata, before the embedding
  Code code;
  std::string says;
};

std::vector<BadGguf> bad_metadata() {
  using B = GgufBuilder;
  const std::string deep = number_bytes(uint32_t{9}) + number_bytes(uint64_t{1});
  const std::string many = number_bytes(uint32_t{0}) + number_bytes(uint64_t{1} << 60);
  const std::string texts = number_bytes(uint32_t{8}) + number_bytes(uint64_t{1} << 23);
  return {
      {"duplicate key", [](B& b) { b.u32("llama.block_count", 2); }, Code::malformed,
       "key \"llama.block_count\" occurs twice"},
      {"empty key", [](B& b) { b.u32("", 2); }, Code::malformed, "is empty"},
      {"key not UTF-8", [](B& b) { b.u32("\xff", 2); }, Code::malformed, "not UTF-8"},
      {"value type 13", [](B& b) { b.raw("x", 13, "1234"); }, Code::malformed,
       "unknown value type 13"},
      {"array of arrays", [=](B& b) { b.raw("x", 9, deep); }, Code::unsupported,
       "\"x\" is an array of arrays"},
      {"array of 2^60", [=](B& b) { b.raw("x", 9, many); }, Code::malformed, "over the limit"},
      {"strings that cannot fit", [=](B& b) { b.raw("x", 9, texts); }, Code::malformed,
       "8388608 strings in value of \"x\" cannot fit"},
      {"string of 2^63", [](B& b) { b.raw("x", 8, number_bytes(uint64_t{1} << 63)); },
       Code::malformed, "over the limit of 1048576"},
      {"string over 1 MiB", [](B& b) { b.text("x", std::string((1 << 20) + 1, 'x')); },
       Code::malformed, "1048577 bytes long"},
      {"boolean 2", [](B& b) { b.raw("x", 7, "\2"); }, Code::malformed, "boolean of value 2"},
      {"alignment 0", [](B& b) { b.u32("general.alignment", 0); }, Code::malformed,
       "general.alignment is 0"},
      {"alignment 4", [](B& b) { b.u32("general.alignment", 4); }, Code::malformed, "is 4"},
      {"alignment 48", [](B& b) { b.u32("general.alignment", 48); }, Code::malformed, "is 48"},
      {"alignment text", [](B& b) { b.text("general.alignment", "32"); }, Code::malformed,
       "not an integer"},
      {"alignment 2^31", [](B& b) { b.u32("general.alignment", 1u << 31); }, Code::malformed,
       "the file may be truncated"},
      {"split", [](B& b) { b.raw("split.count", 2, number_bytes(uint16_t{3})); }, Code::unsupported,
       "one of 3 parts"},
      {"experts", [](B& b) { b.u32("llama.expert_count", 8); }, Code::unsupported, "experts"},
      {"attention scale", [](B& b) { b.f32("llama.attention.scale", 2); }, Code::unsupported,
       "an attention scale of its own"},
      {"yarn", [](B& b) { b.text("llama.rope.scaling.type", "yarn"); }, Code::unsupported,
       "rope scaling of type \"yarn\""},
      {"scaling type a number", [](B& b) { b.u32("llama.rope.scaling.type", 1); }, Code::malformed,
       "llama.rope.scaling.type is not a string"},
      {"factor negative", [](B& b) { b.f32("llama.rope.scaling.factor", -2); }, Code::malformed,
       "llama.rope.scaling.factor is not a positive number"},
      {"theta NaN", [](B& b) { b.f32("llama.rope.freq_base", NAN); }, Code::malformed,
       "llama.rope.freq_base is not a positive number"},
      {"theta text", [](B& b) { b.text("llama.rope.freq_base", "1"); }, Code::malformed,
       "llama.rope.freq_base"},
      {"partial rotary", [](B& b) { b.u32("llama.rope.dimension_count", 2); }, Code::unsupported,
       "rotary embedding over 2 of 4"},
      {"odd head",
       [](B& b) {
         b.u32("llama.attention.key_length", 3)
             .u32("llama.rope.dimension_count", 3)
             .u32("llama.attention.value_length", 3);
       },
       Code::malformed, "head dimension 3 is odd"},
      {"value heads", [](B& b) { b.u32("llama.attention.value_length", 8); }, Code::unsupported,
       "value heads of 8 beside key heads of 4"},
      {"vocabulary", [](B& b) { b.u32("llama.vocab_size", 5); }, Code::malformed,
       "vocab_size is 5, but token_embd.weight has 4 rows"},
  };
}

std::vector<BadGguf> bad_tensors() {
  using B = GgufBuilder;
  const auto one = [](const char* name, uint32_t type, size_t bytes) {
    return [=](B& b) { b.tensor(name, {32, 2}, type, std::string(bytes, '\0')); };
  };
  const auto q = [](const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset) {
    return [=](B& b) {
      b.tensor_at("blk.0.attn_q.weight", dimensions, type, offset, std::string(256, '\0'));
    };
  };
  const uint64_t huge = uint64_t{1} << 62;
  return {
      {"Q8_K", one("blk.0.attn_v.weight", 15, 288), Code::unsupported,
       "tensor \"blk.0.attn_v.weight\" has type Q8_K"},
      {"Q8_1", one("blk.0.attn_v.weight", 9, 72), Code::unsupported, "has type Q8_1"},
      {"I8", one("blk.0.attn_v.weight", 24, 64), Code::unsupported, "has type I8"},
      {"retired type", one("blk.0.attn_v.weight", 4, 64), Code::unsupported, "unknown type 4"},
      {"type 1000", one("blk.0.attn_v.weight", 1000, 64), Code::unsupported, "unknown type 1000"},
      {"rope_freqs", one("rope_freqs.weight", 0, 256), Code::unsupported,
       "frequency factors (tensor rope_freqs.weight) that are not Llama 3's"},
      {"unknown name", one("blk.0.ffn_gate_inp.weight", 0, 256), Code::unsupported,
       "tensor \"blk.0.ffn_gate_inp.weight\" is not one that a llama model of 1 layers has"},
      {"layer 1 of 1", one("blk.1.attn_v.weight", 0, 256), Code::unsupported, "blk.1.attn_v"},
      {"layer 00", one("blk.00.attn_v.weight", 0, 256), Code::unsupported, "blk.00.attn_v"},
      {"layer -1", one("blk.-1.attn_v.weight", 0, 256), Code::unsupported, "blk.-1.attn_v"},
      {"layer 2^64", one("blk.18446744073709551616.attn_v.weight", 0, 256), Code::unsupported,
       "is not one that a llama model"},
      {"layer with no number", one("blk..attn_v.weight", 0, 256), Code::unsupported, "blk..attn"},
      {"duplicate tensor", [](B& b) { add_embedding(add_embedding(b)); }, Code::malformed,
       "tensor \"token_embd.weight\" occurs twice"},
      {"empty name", one("", 0, 256), Code::malformed, "name of tensor 0 is empty"},
      {"name not UTF-8", one("\xc3\x28", 0, 256), Code::malformed, "not UTF-8"},
      {"rank 0", q({}, 0, 0), Code::malformed, "has rank 0"},
      {"rank 5", q({1, 1, 1, 1, 1}, 0, 0), Code::malformed, "has rank 5"},
      {"rank 3", q({8, 8, 1}, 0, 0), Code::malformed, "has rank 3"},
      {"dimension 0", q({8, 0}, 0, 0), Code::malformed, "has dimension 0"},
      {"dimension 2^63", q({8, huge * 2}, 0, 0), Code::malformed, "dimension 9223372036854775808"},
      {"shape overflows", q({8, huge}, 0, 0), Code::malformed, "shape that overflows"},
      {"row no multiple of the block", q({40, 8}, 2, 0), Code::malformed,
       "rows of 40 elements, not a multiple of 32"},
      {"offset unaligned", q({8, 8}, 0, 8), Code::malformed, "not a multiple of the alignment 32"},
      {"offset beyond the file", q({8, 8}, 0, 4096), Code::malformed,
       "at offset 4096, but the data"},
      {"offset 2^64 - 32", q({8, 8}, 0, ~uint64_t{31}), Code::malformed, "but the data"},
      {"overlap",
       [](B& b) {
         b.tensor_at("output_norm.weight", {8}, 0, 0, std::string(32, '\0'));
         b.tensor_at("blk.0.attn_norm.weight", {8}, 0, 0, "");
       },
       Code::malformed, "overlaps"},
      {"query rows",
       [](B& b) {
         b.tensor("blk.0.attn_q.weight", {8, 7}, 0, std::string(224, '\0'));
       },
       Code::malformed, "has 7 rows, but 2 heads of 4"},
  };
}

TEST(Gguf, RefusesBadMetadataAndTensors) {
  std::vector<BadGguf> all = bad_metadata();
  for (BadGguf& bad : bad_tensors()) all.push_back(std::move(bad));
  for (const BadGguf& bad : all) {
    GgufBuilder in = llama_words();
    bad.spoil(in);
    if (bad.name != "duplicate tensor") add_embedding(in);
    const Result<SourceModel> opened = open_bytes(in.bytes());
    ASSERT_FALSE(opened) << bad.name;
    EXPECT_EQ(opened.error().code, bad.code) << bad.name << ": " << opened.error().message;
    EXPECT_NE(opened.error().message.find(bad.says), std::string::npos)
        << bad.name << ": " << opened.error().message;
  }
}

TEST(Gguf, RefusesBadHeads) {
  GgufBuilder in = llama_words();
  const std::string good = add_embedding(in).bytes();
  const auto with = [&](size_t at, std::string_view bytes) {
    std::string out = good;
    return out.replace(at, bytes.size(), bytes);
  };
  GgufBuilder none = llama_words();
  GgufBuilder phi;
  phi.text("general.architecture", "phi3");
  GgufBuilder bare;
  GgufBuilder missing;
  missing.text("general.architecture", "llama");
  GgufBuilder arrays;
  arrays.text("general.architecture", "llama").u32("llama.embedding_length", 8);
  arrays.numbers<int32_t>("llama.attention.head_count", 5, {2, 2});
  const struct {
    std::string bytes;
    Code code;
    std::string says;
  } cases[] = {
      {with(4, number_bytes(uint32_t{1})), Code::unsupported, "GGUF version 1"},
      {with(4, number_bytes(uint32_t{2})), Code::unsupported, "GGUF version 2"},
      {with(4, number_bytes(uint32_t{4})), Code::unsupported, "GGUF version 4"},
      {with(4, std::string("\0\0\0\3", 4)), Code::unsupported, "big-endian GGUF"},
      {with(0, "FUGG"), Code::malformed, "byte-swapped GGUF"},
      {with(8, number_bytes(uint64_t{1} << 63)), Code::malformed, "9223372036854775808 tensors"},
      {with(16, number_bytes(uint64_t{1} << 63)), Code::malformed, "metadata values cannot fit"},
      {with(8, number_bytes(uint64_t{0})), Code::malformed, "holds no tensor"},
      {none.bytes(), Code::malformed, "holds no tensor"},
      {add_embedding(phi).bytes(), Code::unsupported, "architecture \"phi3\""},
      {add_embedding(bare).bytes(), Code::unsupported, "architecture \"\""},
      {add_embedding(missing).bytes(), Code::malformed, "llama.embedding_length is missing"},
      {add_embedding(arrays).bytes(), Code::unsupported, "llama.attention.head_count is an array"},
  };
  for (const auto& bad : cases) {
    const Result<SourceModel> opened = open_bytes(bad.bytes);
    ASSERT_FALSE(opened) << bad.says;
    EXPECT_EQ(opened.error().code, bad.code) << opened.error().message;
    EXPECT_NE(opened.error().message.find(bad.says), std::string::npos) << opened.error().message;
  }
}

TEST(Gguf, SurvivesTruncationAndFlippedBytes) {
  GgufBuilder in = llama_words();
  add_embedding(in).tensor("blk.0.attn_q.weight", {8, 8}, 0, f32_bytes(counting(64)));
  const std::string file = in.bytes();
  const auto reads = [](const std::string& bytes) {
    auto read = read_gguf(as_bytes(bytes), "x");
    if (!read) return false;
    auto config = gguf_config(*read, "x");
    if (!config) return false;
    auto tensors = gguf_tensors(*read, *config, "x");
    if (!tensors) return false;
    for (const SourceTensor& tensor : *tensors) {
      std::vector<float> out(static_cast<size_t>(column_count(tensor)));
      read_rows(tensor, row_count(tensor) - 1, 1, out.data());
    }
    return true;
  };
  ASSERT_TRUE(reads(file));
  for (size_t size = 0; size < file.size(); ++size) EXPECT_FALSE(reads(file.substr(0, size)));
  size_t accepted = 0;
  for (size_t at = 0; at < file.size(); ++at)
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128}) {
      std::string bad = file;
      bad[at] = static_cast<char>(bad[at] ^ flip);
      accepted += reads(bad);
    }
  EXPECT_GE(accepted, 384u * 8u);  // the data bytes at least
}

/// The real model against what gguf-py's dequantize makes of it (tools that are not part of the
/// test command wrote the folder): every element equal, config and tokenizer the same.
TEST(Gguf, RealModelEqualsTheReferenceReader) {
  const char* gguf = std::getenv("SQF_SMOLLM2_GGUF");
  const char* folder = std::getenv("SQF_SMOLLM2_F32");
  if (gguf == nullptr || folder == nullptr)
    GTEST_SKIP() << "SQF_SMOLLM2_GGUF and SQF_SMOLLM2_F32 are not set";
  Result<SourceModel> got = open_source(gguf);
  Result<SourceModel> expected = open_source(folder);
  ASSERT_TRUE(got) << got.error().message;
  ASSERT_TRUE(expected) << expected.error().message;
  ASSERT_EQ(got->tensors.size(), expected->tensors.size());
  size_t elements = 0;
  for (size_t i = 0; i < got->tensors.size(); ++i) {
    const SourceTensor& a = got->tensors[i];
    const SourceTensor& b = expected->tensors[i];
    ASSERT_EQ(a.name, b.name);
    ASSERT_EQ(a.shape, b.shape);
    const size_t count = static_cast<size_t>(row_count(a) * column_count(a));
    std::vector<float> x(count), y(count);
    read_rows(a, 0, row_count(a), x.data());
    read_rows(b, 0, row_count(b), y.data());
    ASSERT_EQ(std::memcmp(x.data(), y.data(), count * sizeof(float)), 0) << a.name;
    elements += count;
  }
  EXPECT_GT(elements, 134'000'000u);
  for (const auto& [word, value] : expected->config.items())
    if (word != "torch_dtype") {
      EXPECT_EQ(got->config[word], value) << word;
    }
  EXPECT_EQ(got->chat_template, expected->chat_template);
  for (const auto& [word, value] : expected->generation_config.items())
    EXPECT_EQ(got->generation_config[word], value) << word;
  const Json a = Json::parse(got->tokenizer_json);
  Json b = Json::parse(expected->tokenizer_json);
  for (Json& merge : b["model"]["merges"]) {  // there "left right", here pairs
    const std::string text = merge.get<std::string>();
    const size_t space = text.find(' ', 1);
    merge = Json::array({text.substr(0, space), text.substr(space + 1)});
  }
  EXPECT_EQ(a, b);
}

}  // namespace
}  // namespace sqf
