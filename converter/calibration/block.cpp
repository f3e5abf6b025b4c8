#include "converter/calibration/block.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "converter/calibration/steps.hpp"

namespace sqf {
namespace {

constexpr int64_t kQueries = 64;  // that look back together
constexpr int64_t kTile = 16;

/// Angles per pair of a head, radians per position; linear and llama3 scaling applied.
std::vector<float> frequencies(const ModelDescription& d) {
  std::vector<float> out(static_cast<size_t>(d.head_dim / 2));
  for (size_t i = 0; i < out.size(); i++) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(d.head_dim);
    const float base = 1.0f / std::pow(d.rope_theta, exponent);
    out[i] = base;
    if (d.rope_scaling == RopeScaling::linear) out[i] = base / d.rope_factor;
    if (d.rope_scaling != RopeScaling::llama3) continue;
    constexpr float kTurn = 6.283185307179586f;
    const float turns = static_cast<float>(d.rope_original_context) * base / kTurn;
    const float keep =
        (turns - d.rope_low_frequency) / (d.rope_high_frequency - d.rope_low_frequency);
    const float share = std::clamp(keep, 0.0f, 1.0f);
    out[i] = (1 - share) * base / d.rope_factor + share * base;
  }
  return out;
}

Result<const SourceTensor*> need(const SourceModel& source, const std::string& name, int64_t rows,
                                 int64_t columns) {
  const SourceTensor* tensor = find_tensor(source, name);
  if (tensor == nullptr) return malformed("tensor \"" + name + "\" is missing");
  if (row_count(*tensor) != rows || column_count(*tensor) != columns)
    return malformed("tensor \"" + name + "\" is [" + std::to_string(row_count(*tensor)) + ", " +
                     std::to_string(column_count(*tensor)) + "], config.json asks for [" +
                     std::to_string(rows) + ", " + std::to_string(columns) + "]");
  return tensor;
}

Result<std::vector<float>> read_vector(const SourceModel& source, const std::string& name,
                                       int64_t size) {
  auto tensor = need(source, name, 1, size);
  if (!tensor) return tensor.error();
  std::vector<float> values(static_cast<size_t>(size));
  read_rows(**tensor, 0, 1, values.data());
  return values;
}

/// Sixteen rows are decoded at a time, so only the packed weight is ever whole.
Result<Panels> read_matrix(const SourceModel& source, const TensorSpec& spec) {
  auto tensor = need(source, spec.name, spec.rows, spec.columns);
  if (!tensor) return tensor.error();
  Panels out;
  out.resize(spec.columns, spec.rows);
  std::vector<float> rows(static_cast<size_t>(kTile * spec.columns));
  for (int64_t row = 0; row < spec.rows; row += kTile) {
    const int64_t count = std::min(kTile, spec.rows - row);
    read_rows(**tensor, row, count, rows.data());
    pack_rows(rows.data(), spec.columns, row, count, &out);
  }
  return out;
}

size_t floats(int64_t rows, int64_t columns) {
  return static_cast<size_t>(rows * columns);
}

}  // namespace

const SourceTensor* find_tensor(const SourceModel& source, std::string_view name) {
  const auto at = std::lower_bound(
      source.tensors.begin(), source.tensors.end(), name,
      [](const SourceTensor& t, std::string_view n) { return std::string_view(t.name) < n; });
  return at != source.tensors.end() && at->name == name ? &*at : nullptr;
}

BlockContext::BlockContext(const ModelDescription& d, int64_t window_length)
    : description(d), length(window_length) {
  const std::vector<float> per_position = frequencies(d);
  for (int64_t t = 0; t < length; t++)
    for (const float frequency : per_position) {
      const float angle = static_cast<float>(t) * frequency;
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
}

BlockScratch::BlockScratch(const BlockContext& context) {
  const ModelDescription& d = context.description;
  const int64_t length = context.length;
  for (auto* buffer : {&normed, &projected}) buffer->resize(floats(length, d.hidden_size));
  for (auto* buffer : {&q, &attended}) buffer->resize(floats(length, d.heads * d.head_dim));
  for (auto* buffer : {&k, &v}) buffer->resize(floats(length, d.kv_heads * d.head_dim));
  for (auto* buffer : {&gate, &up}) buffer->resize(floats(length, d.intermediate_size));
  scores.resize(floats(kQueries, length));
  keys.resize(d.head_dim, length);
  values.resize(length, d.head_dim);
}

Result<Block> Block::read(const SourceModel& source, const BlockContext& context, int64_t layer) {
  Block block;
  block.layer_ = layer;
  std::optional<Error> problem;
  const auto linear = [&](const TensorSpec& spec, Linear& to) {
    auto weight = read_matrix(source, spec);
    if (!weight) return void(problem = weight.error());
    to.weight = std::move(*weight);
    if (!spec.bias) return;
    auto bias = read_vector(source, spec.name.substr(0, spec.name.size() - 6) + "bias", spec.rows);
    if (!bias) return void(problem = bias.error());
    to.bias = std::move(*bias);
  };
  const auto vector = [&](const TensorSpec& spec, std::vector<float>& to) {
    auto values = read_vector(source, spec.name, spec.columns);
    if (!values) return void(problem = values.error());
    to = std::move(*values);
  };
  for (const TensorSpec& spec : tensor_specs(context.description)) {
    if (spec.layer != layer || problem) continue;
    if (spec.input >= 0) linear(spec, block.linear_of(spec.role));
    if (spec.role == Role::attention_norm) vector(spec, block.attention_norm_);
    if (spec.role == Role::q_norm) vector(spec, block.q_norm_);
    if (spec.role == Role::k_norm) vector(spec, block.k_norm_);
    if (spec.role == Role::mlp_norm) vector(spec, block.mlp_norm_);
  }
  if (problem) return *problem;
  return block;
}

void Block::apply(const Linear& linear, const BlockContext& context, const float* x, float* y) {
  const int64_t rows = linear.weight.n, columns = linear.weight.k;
  multiply({{x, columns, 1}, context.length, linear.weight, columns, rows, y, rows});
  if (linear.bias.empty()) return;
  for (int64_t t = 0; t < context.length; t++) add_step(linear.bias.data(), rows, y + t * rows);
}

/// Norms and turns the heads of all tokens, [length][count][head_dim].
void Block::place(const BlockContext& context, float* heads, int64_t count,
                  const std::vector<float>& norm) const {
  const int64_t dim = context.description.head_dim, half = dim / 2;
  const float epsilon = context.description.norm_epsilon;
  for (int64_t t = 0; t < context.length; t++)
    for (int64_t h = 0; h < count; h++) {
      float* head = heads + (t * count + h) * dim;
      if (!norm.empty()) norm_step(head, norm.data(), dim, epsilon, head);
      rotary_step(head, context.cosines.data() + t * half, context.sines.data() + t * half, dim);
    }
}

/// Causal attention from s.q, s.k, s.v to s.attended.
void Block::attend(const BlockContext& context, BlockScratch& s) const {
  const ModelDescription& d = context.description;
  const int64_t length = context.length, dim = d.head_dim, group = d.heads / d.kv_heads;
  const int64_t q_stride = d.heads * dim, kv_stride = d.kv_heads * dim;
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  for (int64_t kv_head = 0; kv_head < d.kv_heads; kv_head++) {
    pack_rows(s.k.data() + kv_head * dim, kv_stride, 0, length, &s.keys);
    pack_columns(s.v.data() + kv_head * dim, kv_stride, &s.values);
    for (int64_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
      for (int64_t first = 0; first < length; first += kQueries) {
        const int64_t end = std::min(first + kQueries, length), count = end - first;
        const int64_t at = first * q_stride + head * dim;
        multiply({{s.q.data() + at, q_stride, 1}, count, s.keys, dim, end, s.scores.data(), end});
        for (int64_t i = 0; i < count; i++)
          softmax_step(s.scores.data() + i * end, first + i + 1, end, scale);
        multiply({{s.scores.data(), end, 1},
                  count,
                  s.values,
                  end,
                  dim,
                  s.attended.data() + at,
                  q_stride});
      }
    }
  }
}

/// From the normed stream to what o reads, in s.attended.
void Block::attention(const BlockContext& context, const float* x, BlockScratch& s) const {
  apply(q_, context, x, s.q.data());
  apply(k_, context, x, s.k.data());
  apply(v_, context, x, s.v.data());
  place(context, s.q.data(), context.description.heads, q_norm_);
  place(context, s.k.data(), context.description.kv_heads, k_norm_);
  attend(context, s);
}

/// From the normed stream to what down reads, in s.gate.
void Block::gated(const BlockContext& context, const float* x, BlockScratch& s) const {
  apply(gate_, context, x, s.gate.data());
  apply(up_, context, x, s.up.data());
  gate_step(s.up.data(), context.length * context.description.intermediate_size, s.gate.data());
}

void Block::respond(const BlockContext& context, int64_t site, const float* x, BlockScratch& s,
                    float* out) const {
  if (site == 0) attention(context, x, s);
  if (site == 2) gated(context, x, s);
  if (site < 2)
    apply(o_, context, site == 0 ? s.attended.data() : x, out);
  else
    apply(down_, context, site == 2 ? s.gate.data() : x, out);
}

void Block::forward(const BlockContext& context, float* x, BlockScratch& s,
                    const InputVisitor& visit, int64_t last) const {
  const ModelDescription& d = context.description;
  const int64_t length = context.length, hidden = d.hidden_size, first = 4 * layer_;
  const auto norm = [&](const std::vector<float>& weight) {
    for (int64_t t = 0; t < length; t++)
      norm_step(x + t * hidden, weight.data(), hidden, d.norm_epsilon,
                s.normed.data() + t * hidden);
  };
  norm(attention_norm_);
  visit(first, s.normed.data(), length, hidden);
  if (last == 0) return;
  attention(context, s.normed.data(), s);
  visit(first + 1, s.attended.data(), length, d.heads * d.head_dim);
  if (last == 1) return;
  apply(o_, context, s.attended.data(), s.projected.data());
  add_step(s.projected.data(), length * hidden, x);

  norm(mlp_norm_);
  visit(first + 2, s.normed.data(), length, hidden);
  if (last == 2) return;
  gated(context, s.normed.data(), s);
  visit(first + 3, s.gate.data(), length, d.intermediate_size);
  if (last == 3) return;
  apply(down_, context, s.gate.data(), s.projected.data());
  add_step(s.projected.data(), length * hidden, x);
}

Block::Linear& Block::linear_of(Role role) {
  switch (role) {
    case Role::q:
      return q_;
    case Role::k:
      return k_;
    case Role::v:
      return v_;
    case Role::o:
      return o_;
    case Role::gate:
      return gate_;
    case Role::up:
      return up_;
    default:
      return down_;
  }
}

void Block::replace(Role role, const float* w) {
  Panels& weight = linear_of(role).weight;
  pack_rows(w, weight.k, 0, weight.n, &weight);
}

Result<void> embed_tokens(const SourceModel& source, const ModelDescription& d,
                          std::span<const int32_t> tokens, float* x) {
  auto table = need(source, "model.embed_tokens.weight", d.vocab_size, d.hidden_size);
  if (!table) return table.error();
  for (size_t i = 0; i < tokens.size(); i++) {
    if (tokens[i] < 0 || tokens[i] >= d.vocab_size)
      return usage_error("token " + std::to_string(tokens[i]) + " is not in the vocabulary of " +
                         std::to_string(d.vocab_size));
    read_rows(**table, tokens[i], 1, x + static_cast<int64_t>(i) * d.hidden_size);
  }
  return {};
}

Result<std::vector<float>> read_final_norm(const SourceModel& source, const ModelDescription& d) {
  return read_vector(source, "model.norm.weight", d.hidden_size);
}

Result<OutputHead> OutputHead::read(const SourceModel& source, const ModelDescription& d) {
  OutputHead head;
  head.epsilon_ = d.norm_epsilon;
  auto norm = read_final_norm(source, d);
  if (!norm) return norm.error();
  head.norm_ = std::move(*norm);
  TensorSpec spec = {};
  spec.name = d.tied ? "model.embed_tokens.weight" : "lm_head.weight";
  spec.rows = d.vocab_size;
  spec.columns = d.hidden_size;
  auto weight = read_matrix(source, spec);
  if (!weight) return weight.error();
  head.weight_ = std::move(*weight);
  return head;
}

void OutputHead::forward(float* x, int64_t tokens, float* logits) const {
  const int64_t hidden = weight_.k, vocab = weight_.n;
  for (int64_t t = 0; t < tokens; t++)
    norm_step(x + t * hidden, norm_.data(), hidden, epsilon_, x + t * hidden);
  multiply({{x, hidden, 1}, tokens, weight_, hidden, vocab, logits, vocab});
}

}  // namespace sqf
