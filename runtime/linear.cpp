#include "runtime/linear.hpp"

#include "format/scalar.hpp"
#include "loader/dequantize.hpp"
#include "runtime/cpu/matmul.hpp"

namespace sqf {
namespace {

constexpr uint32_t kAllColumns = kMaxColumnSets;  // no set of the record, but what it is made from

const float* floats(const ModelFile& file, uint32_t component) {
  return component == kNone ? nullptr
                            : reinterpret_cast<const float*>(file.component(component).data());
}

const float* applied_smooth(const ModelFile& file, const InputRecord& input) {
  return input.smooth_state == SmoothState::apply ? floats(file, input.smooth) : nullptr;
}

/// Sum of the integer levels of one group, from the codes [columns] of the row.
int64_t level_sum(const PartView& part, const uint8_t* codes, int64_t group, int32_t zero) {
  const Grouping groups = grouping(part.encoding, part.columns);
  int64_t sum = 0;
  for (int64_t i = 0; i < groups.size(group); i++) sum += codes[groups.begin(group) + i];
  return sum - groups.size(group) * zero;
}

/// [rows]; `row_sums` as the file has them, or null.
std::vector<float> weight_sums(const PartView& part, const std::byte* row_sums) {
  const Grouping groups = grouping(part.encoding, part.columns);
  std::vector<float> sums;
  std::vector<uint8_t> codes(row_sums == nullptr ? static_cast<size_t>(kTileRows * part.columns)
                                                 : 0);
  for (int64_t row = 0; row < part.rows; row++) {
    const int64_t tile = row / kTileRows, lane = row % kTileRows;
    if (row_sums == nullptr && lane == 0) unpack_tile(part, tile, codes.data());
    double sum = 0;
    for (int64_t g = 0; g < groups.count; g++) {
      const GroupParameters p = group_parameters(part, row, g);
      const int64_t levels =
          row_sums != nullptr
              ? load<int32_t>(row_sums, (tile * groups.count + g) * kTileRows + lane)
              : level_sum(part, codes.data() + lane * part.columns, g, p.zero);
      sum += static_cast<double>(p.scale) * static_cast<double>(levels) +
             static_cast<double>(p.minimum) * static_cast<double>(groups.size(g));
    }
    sums.push_back(static_cast<float>(sum));
  }
  return sums;
}

LowRankFactor factor(const ModelFile& file, uint32_t values, uint32_t scales, uint64_t rows,
                     uint64_t columns) {
  return {file.component(values).data(), floats(file, scales), static_cast<int64_t>(rows),
          static_cast<int64_t>(columns)};
}

}  // namespace

const Feed* Feeds::keep(const Key& key, Feed feed) {
  if (!feed.moves() && !feed.quantizes()) return nullptr;
  auto& kept = feeds_[key];
  if (kept == nullptr) kept = std::make_unique<Feed>(std::move(feed));
  return kept.get();
}

const Feed* Feeds::of_all(const ModelFile& file, const TensorRecord& tensor) {
  if (tensor.input == kNone) return nullptr;
  const InputRecord& input = file.head().directory.inputs[tensor.input];
  Feed feed;
  feed.count = static_cast<int64_t>(input.columns);
  feed.smooth = applied_smooth(file, input);
  return keep({tensor.input, kAllColumns, kNone}, std::move(feed));
}

Result<const Feed*> Feeds::of_part(const ModelFile& file, const TensorRecord& tensor,
                                   const PartRecord& part) {
  Feed feed;
  feed.count = static_cast<int64_t>(part_columns(file.head().directory, tensor, part));
  feed.factors = floats(file, part.column_factors);
  Key key = {tensor.input, kAllColumns, part.column_factors};
  if (tensor.input == kNone) return keep(key, std::move(feed));
  const InputRecord& input = file.head().directory.inputs[tensor.input];
  feed.set = input.sets[part.column_set];
  feed.smooth = applied_smooth(file, input);
  if (feed.quantizes() || feed.set.kind != ColumnKind::all) std::get<1>(key) = part.column_set;
  if (const auto known = feeds_.find(key); known != feeds_.end()) return known->second.get();
  if (feed.set.kind != ColumnKind::all) {
    const auto columns = columns_of(file, tensor, part);
    if (!columns) return columns.error();
    feed.gather.assign(columns->begin(), columns->end());
  }
  return keep(key, std::move(feed));
}

Result<Linear> load_linear(const ModelFile& file, const TensorView& tensor, Feeds* feeds) {
  const TensorRecord& t = *tensor.record;
  Linear linear;
  linear.rows = static_cast<int64_t>(tensor.shape.rows);
  linear.columns = static_cast<int64_t>(tensor.shape.columns);
  for (uint32_t i = 0; i < t.part_count; i++) {
    const PartRecord& record = file.head().directory.parts[t.part_first + i];
    const auto feed = feeds->of_part(file, t, record);
    if (!feed) return Error(feed.error()).of(tensor.name);
    LinearPart part;
    part.weight = file.part(tensor, i);
    part.feed = *feed;
    const bool offset = part.feed != nullptr && part.feed->set.asymmetric != 0;
    if (offset && has_integer_kernel(part.weight.encoding))
      part.weight_sums = weight_sums(
          part.weight, record.row_sums == kNone ? nullptr : file.component(record.row_sums).data());
    linear.parts.push_back(std::move(part));
  }
  if (t.rank_pair != 0) {
    linear.a = factor(file, t.low_rank_a, t.low_rank_a_scales, tensor.shape.rows, t.rank_pair);
    linear.b = factor(file, t.low_rank_b, t.low_rank_b_scales, t.rank_pair, tensor.shape.columns);
    linear.low_rank_feed = feeds->of_all(file, t);
  }
  linear.bias = floats(file, t.bias);
  return linear;
}

uint64_t stored_bytes(const ModelFile& file, const TensorView& tensor) {
  const Directory& d = file.head().directory;
  const TensorRecord& t = *tensor.record;
  uint64_t bytes = 0;
  const auto count = [&](uint32_t index, const ComponentShape&, const char*) {
    bytes += d.components[index].size;
  };
  for (uint32_t i = t.part_first; i < t.part_first + t.part_count; i++) {
    PartRecord part = d.parts[i];
    part.row_sums = kNone;  // read once, when the model is loaded
    each_component(part, d.encodings[part.encoding], tensor.shape, part_columns(d, t, part), count);
  }
  for (uint32_t index : {t.low_rank_a, t.low_rank_b, t.low_rank_a_scales, t.low_rank_b_scales})
    if (index != kNone) bytes += d.components[index].size;
  return bytes;
}

}  // namespace sqf
