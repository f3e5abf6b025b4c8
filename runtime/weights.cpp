#include "runtime/weights.hpp"

#include "format/rules.hpp"
#include "loader/dequantize.hpp"

namespace sqf {
namespace {

class WeightLoader {
 public:
  explicit WeightLoader(const ModelFile& file) : file_(file) {}

  void place(const TensorSpec& spec, const ModelDescription& d, Weights& weights) {
    const auto tensor = file_.find(spec.name);
    if (!tensor) {
      problem("\"" + spec.name + "\" is missing");
      return;
    }
    const bool vector = spec.rows == 1 && spec.input < 0;
    const auto rows = static_cast<uint64_t>(spec.rows),
               columns = static_cast<uint64_t>(spec.columns);
    if (tensor->record->rank != (vector ? 1 : 2) || tensor->shape.rows != rows ||
        tensor->shape.columns != columns) {
      problem("\"" + spec.name + "\" is [" + std::to_string(tensor->shape.rows) + ", " +
              std::to_string(tensor->shape.columns) + "], expected [" + std::to_string(rows) +
              ", " + std::to_string(columns) + "]");
      return;
    }
    if (spec.bias != (tensor->record->bias != kNone)) {
      problem("\"" + spec.name + "\" has " + (spec.bias ? "no bias" : "an unexpected bias"));
      return;
    }
    if (divided_vector(*tensor))
      return fail(unsupported("tensor \"" + spec.name + "\": a vector that is to be smoothed"));
    put(spec, *tensor, d, weights);
    if (spec.role != Role::embedding) weights.bytes_per_token += bytes_per_token(file_, *tensor);
  }

  Result<void> result() const {
    if (!problems_.empty()) return broken(Rule::model_tensor, problems_);
    if (failure_) return *failure_;
    return {};
  }

 private:
  void problem(const std::string& what) { problems_ += (problems_.empty() ? "" : "\n  ") + what; }

  /// Only the rows of a matrix have an activation that could be divided.
  bool divided_vector(const TensorView& tensor) const {
    if (tensor.record->rank != 1 || tensor.record->input == kNone) return false;
    const InputRecord& input = file_.head().directory.inputs[tensor.record->input];
    return input.smooth_state == SmoothState::apply;
  }

  bool composed(const TensorView& tensor) const {
    const Directory& d = file_.head().directory;
    const TensorRecord& t = *tensor.record;
    if (t.part_count != 1 || t.rank_pair != 0) return true;
    if (d.parts[t.part_first].column_factors != kNone) return true;
    return t.input != kNone && d.inputs[t.input].smooth_state == SmoothState::apply;
  }

  void embedding(const TensorView& tensor, Weights& w) const {
    w.embedding = {file_.part(tensor, 0), composed(tensor), tensor};
  }

  std::vector<float> vector(const TensorView& tensor) {
    std::vector<float> values(tensor.shape.columns);
    if (auto r = dequantize(file_, tensor, {0, 0, 1}, values.data()); !r) fail(r.error());
    return values;
  }

  void fail(Error error) {
    if (!failure_) failure_ = std::move(error);
  }

  void put(const TensorSpec& spec, const TensorView& tensor, const ModelDescription& d,
           Weights& w) {
    Linear linear;
    if (tensor.record->rank != 1) {
      auto loaded = load_linear(file_, tensor, &w.feeds);
      if (!loaded) return fail(loaded.error());
      linear = std::move(*loaded);
    }
    LayerWeights none;
    LayerWeights& layer = spec.layer < 0 ? none : w.layers[static_cast<size_t>(spec.layer)];
    switch (spec.role) {
      case Role::embedding:
        embedding(tensor, w);
        break;
      case Role::attention_norm:
        layer.attention_norm = vector(tensor);
        break;
      case Role::q:
        layer.q = std::move(linear);
        break;
      case Role::k:
        layer.k = std::move(linear);
        break;
      case Role::v:
        layer.v = std::move(linear);
        break;
      case Role::q_norm:
        layer.q_norm = vector(tensor);
        break;
      case Role::k_norm:
        layer.k_norm = vector(tensor);
        break;
      case Role::o:
        layer.o = std::move(linear);
        break;
      case Role::mlp_norm:
        layer.mlp_norm = vector(tensor);
        break;
      case Role::gate:
        layer.gate = std::move(linear);
        break;
      case Role::up:
        layer.up = std::move(linear);
        break;
      case Role::down:
        layer.down = std::move(linear);
        break;
      case Role::final_norm:
        w.final_norm = vector(tensor);
        break;
      case Role::head:
        w.head = std::move(linear);
        if (d.tied) embedding(tensor, w);
        break;
    }
  }

  const ModelFile& file_;
  std::string problems_;
  std::optional<Error> failure_;
};

}  // namespace

Result<Weights> load_weights(const ModelFile& file, const ModelDescription& description) {
  Weights weights;
  // The file's own tensors bound the layers before memory is taken for them.
  if (static_cast<uint64_t>(description.layers) > file.tensor_count())
    return broken(Rule::model_tensor, std::to_string(description.layers) + " layers in a file of " +
                                          std::to_string(file.tensor_count()) + " tensors");
  weights.layers.resize(static_cast<size_t>(description.layers));
  WeightLoader loader(file);
  const auto specs = tensor_specs(description);
  for (const TensorSpec& spec : specs) loader.place(spec, description, weights);
  if (auto r = loader.result(); !r) return r.error();
  if (specs.size() != file.tensor_count())
    return broken(Rule::model_tensor, std::to_string(file.tensor_count()) + " tensors, expected " +
                                          std::to_string(specs.size()));
  return weights;
}

}  // namespace sqf
