// The plan: specifications and rules, which encoding each tensor gets, and that the bytes it
// promises are those the file's components take.
#include "converter/plan.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <list>

#include "converter/gguf_blocks.hpp"
#include "format/writer.hpp"

namespace sqf {
namespace {

/// A two-layer model whose weights are zero bytes, sizes no multiple of tile or group.
struct Model {
  SourceModel source;
  std::list<std::vector<std::byte>> storage;

  explicit Model(SourceType type = SourceType::f16, int64_t hidden = 72, bool tied = false) {
    source.config = {{"model_type", "llama"},        {"vocab_size", 50},
                     {"hidden_size", hidden},        {"intermediate_size", hidden + 32},
                     {"num_hidden_layers", 2},       {"num_attention_heads", 3},
                     {"num_key_value_heads", 1},     {"head_dim", 22},
                     {"attention_bias", true},       {"tie_word_embeddings", tied},
                     {"max_position_embeddings", 64}};
    if (type == SourceType::q8_0) source.config["head_dim"] = 32;  // rows of whole blocks
    for (const TensorSpec& spec : tensor_specs(*description_from_config(source.config, {}))) {
      const bool vector = spec.input < 0 && spec.role != Role::embedding;
      add(spec.name, vector ? std::vector{spec.columns} : std::vector{spec.rows, spec.columns},
          vector ? SourceType::f32 : type);
      if (spec.bias)
        add(spec.name.substr(0, spec.name.size() - 6) + "bias", {spec.rows}, SourceType::f32);
    }
  }
  void add(const std::string& name, std::vector<int64_t> shape, SourceType type) {
    int64_t count = 1;
    for (int64_t n : shape) count *= n;
    storage.emplace_back(static_cast<size_t>(count / block_columns(type) * block_bytes(type)));
    SourceTensor t;
    t.name = name;
    t.type = type;
    t.shape = std::move(shape);
    t.bytes = storage.back();
    source.tensors.push_back(t);
  }
  void remove(const std::string& name) {
    std::erase_if(source.tensors, [&](const SourceTensor& t) { return t.name == name; });
  }
};

QuantSpec spec_of(const std::string& text, QuantSpec base = {}) {
  auto spec = parse_spec(text, base);
  EXPECT_TRUE(spec) << spec.error().message;
  return spec ? *spec : base;
}

/// Encoding of one tensor in words, or the error.
std::string encoding_of(const Model& model, const PlanOptions& options, const std::string& name) {
  auto plan = make_plan(model.source, options);
  if (!plan) return plan.error().message;
  for (const TensorPlan& t : plan->tensors)
    if (t.spec.name == name) return describe(t.encoding);
  return "no such tensor";
}

template <typename T>
void expect_error(const Result<T>& result, Code code, const std::string& words) {
  ASSERT_FALSE(result) << words;
  EXPECT_EQ(result.error().code, code) << result.error().message;
  EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
}

constexpr const char* kUp0 = "model.layers.0.mlp.up_proj.weight";
constexpr const char* kUp1 = "model.layers.1.mlp.up_proj.weight";
constexpr const char* kNorm = "model.layers.0.input_layernorm.weight";

TEST(Spec, ChangesWhatIsNamed) {
  const QuantSpec s = spec_of("bits=6,group=64,scale=e4m3,zero=minimum,range=minmax");
  EXPECT_EQ(s.method, Method::rtn);
  EXPECT_EQ(s.bits, 6);
  EXPECT_EQ(s.group, 64u);
  EXPECT_EQ(s.scale, Element::e4m3);
  EXPECT_EQ(s.zero, ZeroKind::minimum_f16);
  EXPECT_EQ(s.range, Range::minmax);
  const QuantSpec row = spec_of("group=row", s);
  EXPECT_EQ(row.group, 0u);
  EXPECT_EQ(row.bits, 6);
  EXPECT_EQ(row.scale, Element::e4m3);
  EXPECT_EQ(spec_of("none", s).method, Method::none);
  EXPECT_EQ(spec_of("keep", s).method, Method::keep);
  EXPECT_EQ(spec_of("bits=3", spec_of("none")).method, Method::rtn);
  EXPECT_EQ(spec_of("bits=4,bits=5").bits, 5);
}

TEST(Spec, DefaultsFollowTheWidth) {
  for (int bits = 1; bits <= 8; bits++) {
    const EncodingRecord e = spec_of("bits=" + std::to_string(bits)).encoding();
    EXPECT_EQ(code_bits(e), bits);
    EXPECT_EQ(e.zero, bits <= 4 ? ZeroKind::u4 : ZeroKind::u8);
    EXPECT_EQ(e.row_factor, 1);
    EXPECT_EQ(encoding_problem(e), std::nullopt);
  }
  for (const char* scale : {"f32", "f16", "bf16"})
    EXPECT_EQ(spec_of(std::string("scale=") + scale).encoding().row_factor, 0) << scale;
}

TEST(Spec, RefusesByWord) {
  for (const char* text : {"bits=0", "bits=9", "bits=", "bits=4x", "bits=+4", "bits= 4",
                           "bits=99999999999", "group=0", "group=-1", "group=", "group=rows",
                           "scale=f8", "scale=", "zero=none", "range=best", "width=4", "=4"})
    expect_error(parse_spec(text, {}), Code::usage, "\"" + std::string(text) + "\" is no setting");
  for (const char* text : {"", "bits", "bits=4,", ",bits=4", "bits=4,none", "None", "rtn"})
    expect_error(parse_spec(text, {}), Code::usage, "is no setting of an encoding (bits=");
}

TEST(Spec, GridsByName) {
  const auto words = [](const std::string& text) { return describe(spec_of(text).encoding()); };
  EXPECT_EQ(words("grid=e2m1,scale=e8m0,factor=none"), "minifloat e2m1 g32, scale e8m0");
  EXPECT_EQ(words("grid=e4m3ocp,scale=f16,group=row"), "minifloat e4m3 ocp row, scale f16");
  EXPECT_EQ(words("grid=binary"), "2 levels -1 1 g32, scale u8 x row f32");
  EXPECT_EQ(words("grid=ternary"), "3 levels -1 0 1 g240, scale u8 x row f32");
  EXPECT_EQ(words("grid=ternary,group=77"), "3 levels -1 0 1 g77, scale u8 x row f32");
  EXPECT_EQ(words("grid=five,scale=bf16"), "5 levels -2 -1 0 1 2 g240, scale bf16");
  EXPECT_EQ(words("grid=nf4,scale=f16,factor=row"), "16 levels -1 to 1 g32, scale f16 x row f32");
  EXPECT_EQ(words("grid=levels:-2/0.5/1e3"), "3 levels -2 0.5 1000 g240, scale u8 x row f32");
  EXPECT_EQ(words("bits=3,planes=bit"),
            "3-bit asymmetric in bit planes g32, scale u8 x row f32, zero u4");
  EXPECT_EQ(words("grid=affine"), words("bits=4"));
  EXPECT_EQ(spec_of("grid=levels:0/1/2/3/4/5").encoding().radices[0], 4);
  EXPECT_EQ(spec_of("grid=levels:0/1/2/3/4/5").encoding().radices[1], 2);
  EXPECT_EQ(spec_of("grid=five").encoding().radices[0], 5);
  // Every sum of bits and every name once: 2 to 7 splits, five OCP types, four tables, affine.
  EXPECT_EQ(named_grids().size(), 27u + 5 + 4 + 1);
  for (const NamedGrid& grid : named_grids())
    EXPECT_EQ(encoding_problem(spec_of("grid=" + grid.name).encoding()), std::nullopt) << grid.name;
}

TEST(Spec, AGridLeavesWhatOthersSaid) {
  // The width and zero point of a base are those of its affine grid, kept for when it comes back.
  const QuantSpec base = spec_of("bits=5,zero=constant,group=64");
  const QuantSpec nf4 = spec_of("grid=nf4", base);
  EXPECT_EQ(describe(nf4.encoding()), "16 levels -1 to 1 g64, scale u8 x row f32");
  EXPECT_EQ(describe(spec_of("grid=affine", nf4).encoding()), describe(base.encoding()));
  EXPECT_EQ(spec_of("grid=affine", spec_of("grid=ternary")).encoding().group, 32u);
  for (const char* agreeing : {"grid=nf4,bits=4", "bits=8,grid=e5m2",
                               "grid=levels:0/1/2/3/4,"
                               "grid=levels:0/1/2/3/4/5,bits=3"})
    EXPECT_TRUE(parse_spec(agreeing, {})) << agreeing;
  expect_error(parse_spec("grid=nf4,bits=5", {}), Code::usage,
               "\"bits=5\" disagrees with grid nf4");
  expect_error(parse_spec("bits=2,grid=ternary", {}), Code::usage, "which has 3 codes");
  expect_error(parse_spec("bits=3", nf4), Code::usage, "\"bits=3\" disagrees with grid nf4");
  expect_error(parse_spec("zero=u8,grid=e2m1", {}), Code::usage, "\"zero=u8\" on grid e2m1");
  expect_error(parse_spec("zero=constant", nf4), Code::usage, "\"zero=constant\" on grid nf4");
  expect_error(parse_spec("grid=five,planes=bit", {}), Code::usage, "\"planes=bit\" on grid five");
}

TEST(Spec, RefusesGridsByWord) {
  for (const char* name : {"", "nf5", "NF4", "e2m1 ", "e0m3", "e8m0", "e1m0", "e5m3", "e4m4",
                           "e2m2ocp", "e4m3fn", "int4", "levels", "level:0/1", "affine4"})
    expect_error(parse_spec("grid=" + std::string(name), {}), Code::usage,
                 "\"grid=" + std::string(name) + "\" is no grid");
  for (const char* table : {"", "1", "1/", "/1", "1/1", "2/1", "0/-0", "0/nan", "0/inf", "0/1e99",
                            "0/1x", "0 /1", "0//1", "0/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16"})
    expect_error(parse_spec("grid=levels:" + std::string(table), {}), Code::usage,
                 "\"grid=levels:" + std::string(table) + "\": expected 2 to 16");
  for (const char* text : {"factor=yes", "factor=", "planes=2", "planes="})
    expect_error(parse_spec(text, {}), Code::usage, "\"" + std::string(text) + "\" is no setting");
}

TEST(RuleText, SplitsAtTheFirstSpecification) {
  const auto split = [](const char* text) {
    auto rule = parse_rule(text);
    return rule ? rule->pattern + " | " + rule->spec : rule.error().message;
  };
  EXPECT_EQ(split("down_proj=bits=6"), "down_proj | bits=6");
  EXPECT_EQ(split("a=b=none"), "a=b | none");
  EXPECT_EQ(split("(?=x)y=bits=6,group=64"), "(?=x)y | bits=6,group=64");
  for (const char* text : {"", "down_proj", "down_proj=", "=bits=6", "down_proj=bits=60", "bits=6"})
    expect_error(parse_rule(text), Code::usage, "--rule \"" + std::string(text) + "\"");
}

TEST(MakePlan, BytesAreThoseOfTheComponents) {
  const Model model;
  for (const char* text : {"none",
                           "bits=1",
                           "bits=2",
                           "bits=3",
                           "bits=4",
                           "bits=5",
                           "bits=6",
                           "bits=7",
                           "bits=8",
                           "bits=4,group=16",
                           "bits=3,group=64",
                           "bits=5,group=row",
                           "bits=4,scale=f16,zero=constant",
                           "bits=2,scale=f32,zero=minimum",
                           "bits=7,scale=e8m0,zero=u8",
                           "bits=3,group=4096",
                           "grid=nf4",
                           "grid=ternary",
                           "grid=five,group=50",
                           "grid=binary,scale=f16",
                           "grid=e3m2",
                           "grid=e4m3ocp,group=16,factor=none",
                           "bits=5,planes=bit",
                           "grid=levels:0/1/2/4/8/16"}) {
    PlanOptions options;
    options.linear = options.head = spec_of(text);
    auto plan = make_plan(model.source, options);
    ASSERT_TRUE(plan) << text << ": " << plan.error().message;
    uint64_t total = 0;
    for (const TensorPlan& t : plan->tensors) {
      DirectoryBuilder builder;
      const std::vector<uint64_t> shape(t.source->shape.begin(), t.source->shape.end());
      builder.tensor(t.spec.name, shape, kNone, t.encoding, t.bias != nullptr);
      uint64_t bytes = 0;
      for (const ComponentRecord& c : builder.finish().components) bytes += c.size;
      EXPECT_EQ(t.bytes, bytes) << text << " " << t.spec.name;
      EXPECT_EQ(t.bias != nullptr, t.spec.bias);
      total += bytes;
    }
    EXPECT_EQ(plan->stored_bytes, total);
    EXPECT_EQ(plan_json(*plan)["stored_bytes"], total);
  }
}

TEST(MakePlan, LaterRulesWin) {
  const Model model;
  PlanOptions options;
  options.rules = {{"mlp", "bits=6,group=64"}, {"layers\\.1\\.", "bits=3"}, {"down_proj", "none"}};
  EXPECT_EQ(encoding_of(model, options, kUp0), "6-bit asymmetric g64, scale u8 x row f32, zero u8");
  // The second rule changes the width alone.
  EXPECT_EQ(encoding_of(model, options, kUp1), "3-bit asymmetric g64, scale u8 x row f32, zero u4");
  EXPECT_EQ(encoding_of(model, options, "model.layers.1.mlp.down_proj.weight"), "f16");
  EXPECT_EQ(encoding_of(model, options, "lm_head.weight"),
            "8-bit asymmetric g32, scale u8 x row f32, zero u8");
  std::swap(options.rules[0], options.rules[1]);
  EXPECT_EQ(encoding_of(model, options, kUp1), "6-bit asymmetric g64, scale u8 x row f32, zero u8");
}

TEST(MakePlan, VectorsStay) {
  const Model model;
  PlanOptions options;
  options.rules = {{"layers\\.0\\.", "bits=6"}};
  EXPECT_EQ(encoding_of(model, options, kNorm), "f32");
  EXPECT_EQ(encoding_of(model, options, kUp0).substr(0, 5), "6-bit");
  options.rules = {{"layernorm", "none"}};
  EXPECT_EQ(encoding_of(model, options, kNorm), "f32");
  for (const char* spec : {"bits=6", "keep"}) {
    options.rules = {{"layernorm", spec}};
    expect_error(make_plan(model.source, options), Code::usage, "is a vector");
  }
}

TEST(MakePlan, RulesThatCannotBe) {
  const Model model;
  PlanOptions options;
  options.rules = {{"nowhere", "bits=6"}};
  expect_error(make_plan(model.source, options), Code::usage, "\"nowhere\" matches no tensor");
  options.rules = {{"(", "bits=6"}};
  expect_error(make_plan(model.source, options), Code::usage, "--rule \"(\"");
  options.rules = {{"up_proj", "bits=60"}};
  expect_error(make_plan(model.source, options), Code::usage, "bits=60");
  options.rules = {{"up_proj", "bits=3,group=16"}};
  expect_error(make_plan(model.source, options), Code::usage, std::string(kUp0) + "\": group 16");
  options.rules = {};
  options.linear = spec_of("bits=8,zero=u4");
  expect_error(make_plan(model.source, options), Code::usage, "u4 zeros");
  options.linear = spec_of("keep");
  expect_error(make_plan(model.source, options), Code::usage, "nothing in the input is quantized");
}

TEST(MakePlan, QuantizedInputs) {
  const Model model(SourceType::q8_0, 96);
  expect_error(make_plan(model.source, {}), Code::usage, "quantized already (q8_0)");
  PlanOptions options;
  options.allow_requantize = true;
  EXPECT_EQ(encoding_of(model, options, kUp0).substr(0, 16), "4-bit asymmetric");
  options = {};
  options.linear = options.head = spec_of("keep");
  EXPECT_EQ(encoding_of(model, options, kUp0), describe(*kept_encoding(SourceType::q8_0)));
  EXPECT_EQ(encoding_of(model, options, kNorm), "f32");
  options.linear = options.head = spec_of("none");
  EXPECT_EQ(encoding_of(model, options, kUp0), "f32");
}

/// Q4_K_M and its like: some types can be kept, groups of 16 columns cannot.
TEST(MakePlan, QuantizedInputsOfManyTypes) {
  Model model(SourceType::q8_0, 256);
  for (const auto& [name, type] : {std::pair{kUp0, SourceType::q6_K}, {kUp1, SourceType::q4_K}}) {
    model.remove(name);
    model.add(name, {288, 256}, type);
  }
  PlanOptions options;
  options.linear = options.head = spec_of("keep");
  expect_error(make_plan(model.source, options), Code::usage,
               std::string(kUp0) + "\" is q6_K, whose groups of 16 columns have no form here");
  options.allow_requantize = true;
  EXPECT_EQ(encoding_of(model, options, kUp0), "8-bit asymmetric g32, scale f16, zero u8");
  EXPECT_EQ(encoding_of(model, options, kUp1), describe(*kept_encoding(SourceType::q4_K)));
}

TEST(MakePlan, TensorsAgainstTheConfig) {
  Model missing;
  missing.remove(kUp0);
  missing.remove("model.layers.1.self_attn.q_proj.bias");
  expect_error(make_plan(missing.source, {}), Code::malformed, std::string(kUp0) + "\" is missing");
  expect_error(make_plan(missing.source, {}), Code::malformed, "q_proj.bias\" is missing");
  Model extra;
  extra.add("stranger", {4}, SourceType::f32);
  expect_error(make_plan(extra.source, {}), Code::malformed, "\"stranger\" has no place in llama");
  Model rotary;
  rotary.add("model.layers.0.self_attn.rotary_emb.inv_freq", {4}, SourceType::f32);
  EXPECT_TRUE(make_plan(rotary.source, {}));
  Model misshapen;
  misshapen.remove(kUp0);
  misshapen.add(kUp0, {72, 104}, SourceType::f16);
  expect_error(make_plan(misshapen.source, {}), Code::malformed,
               "is [72, 104], config.json asks for [104, 72]");
  Model empty;
  empty.source.tensors.clear();
  expect_error(make_plan(empty.source, {}), Code::malformed, "more");
}

TEST(MakePlan, ATiedHeadMayStandTwiceIfItIsTheSame) {
  Model model(SourceType::f16, 72, true);
  model.add("lm_head.weight", {50, 72}, SourceType::f16);
  EXPECT_TRUE(make_plan(model.source, {}));
  model.storage.back()[7] = std::byte{1};
  expect_error(make_plan(model.source, {}), Code::malformed, "\"lm_head.weight\" has no place");
}

TEST(MakePlan, TextNamesKindsAndTotals) {
  const Model model;
  auto plan = make_plan(model.source, {});
  ASSERT_TRUE(plan);
  const std::string text = plan_text(*plan);
  EXPECT_NE(text.find("2 x layers.*.mlp.up_proj.weight"), std::string::npos) << text;
  EXPECT_NE(text.find(std::to_string(plan->tensors.size()) + " tensors"), std::string::npos);
}

}  // namespace
}  // namespace sqf
