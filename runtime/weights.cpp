#include "runtime/weights.hpp"

#include "format/rules.hpp"

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
    if (auto why = without_kernel(*tensor)) {
      if (!unsupported_) unsupported_ = unsupported("tensor \"" + spec.name + "\": " + *why);
      return;
    }
    put(spec, *tensor, d, weights);
    if (spec.role != Role::embedding) weights.bytes_per_token += stored_bytes(*tensor);
  }

  Result<void> result() const {
    if (!problems_.empty()) return broken(Rule::model_tensor, problems_);
    if (unsupported_) return *unsupported_;
    return {};
  }

 private:
  void problem(const std::string& what) { problems_ += (problems_.empty() ? "" : "\n  ") + what; }

  std::optional<std::string> without_kernel(const TensorView& tensor) const {
    const Directory& d = file_.head().directory;
    if (tensor.record->part_count != 1) return "several column parts";
    if (tensor.record->rank_pair != 0) return "a low-rank pair";
    if (d.parts[tensor.record->part_first].column_factors != kNone) return "column factors";
    if (tensor.record->input == kNone) return std::nullopt;
    const InputRecord& input = d.inputs[tensor.record->input];
    if (input.smooth_state == SmoothState::apply) return "a smoothing vector to be applied";
    if (input.sets[0].kind != ColumnKind::all) return "a column split";
    if (input.sets[0].quantizer != QuantizerKind::none) return "an activation quantizer";
    return std::nullopt;
  }

  uint64_t stored_bytes(const TensorView& tensor) const {
    const Directory& d = file_.head().directory;
    const PartRecord& part = d.parts[tensor.record->part_first];
    uint64_t bytes = 0;
    const auto count = [&](uint32_t index, const ComponentShape&, const char*) {
      bytes += d.components[index].size;
    };
    each_component(part, d.encodings[part.encoding], tensor.shape, tensor.shape.columns, count);
    return bytes;
  }

  void put(const TensorSpec& spec, const TensorView& tensor, const ModelDescription& d,
           Weights& w) {
    Linear linear;
    linear.weight = file_.part(tensor, 0);
    if (spec.bias)
      linear.bias = reinterpret_cast<const float*>(file_.component(tensor.record->bias).data());
    const auto vector = [&] {
      std::vector<float> values(static_cast<size_t>(spec.columns));
      decode_row(linear.weight, 0, values.data());
      return values;
    };
    LayerWeights none;
    LayerWeights& layer = spec.layer < 0 ? none : w.layers[static_cast<size_t>(spec.layer)];
    switch (spec.role) {
      case Role::embedding:
        w.embedding = linear;
        break;
      case Role::attention_norm:
        layer.attention_norm = vector();
        break;
      case Role::q:
        layer.q = linear;
        break;
      case Role::k:
        layer.k = linear;
        break;
      case Role::v:
        layer.v = linear;
        break;
      case Role::q_norm:
        layer.q_norm = vector();
        break;
      case Role::k_norm:
        layer.k_norm = vector();
        break;
      case Role::o:
        layer.o = linear;
        break;
      case Role::mlp_norm:
        layer.mlp_norm = vector();
        break;
      case Role::gate:
        layer.gate = linear;
        break;
      case Role::up:
        layer.up = linear;
        break;
      case Role::down:
        layer.down = linear;
        break;
      case Role::final_norm:
        w.final_norm = vector();
        break;
      case Role::head:
        w.head = linear;
        if (d.tied) w.embedding = linear;
        break;
    }
  }

  const ModelFile& file_;
  std::string problems_;
  std::optional<Error> unsupported_;
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
