#include "apps/sqcheck_compare.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "apps/sqcheck.hpp"
#include "format/scalar.hpp"
#include "loader/dequantize.hpp"

namespace sqf {
namespace {

bool same_component(const ModelFile& a, uint32_t x, const ModelFile& b, uint32_t y) {
  if (x == kNone || y == kNone) return x == y;
  const auto p = a.component(x), q = b.component(y);
  return p.size() == q.size() && std::memcmp(p.data(), q.data(), p.size()) == 0;
}

bool same_record(const EncodingRecord& x, const EncodingRecord& y) {
  return std::memcmp(&x, &y, sizeof x) == 0;
}

/// Encodings, columns and bytes of all parts, and what the whole tensor has besides.
bool same_bytes(const ModelFile& a, const TensorView& x, const ModelFile& b, const TensorView& y) {
  const Directory &da = a.head().directory, &db = b.head().directory;
  if (x.record->part_count != y.record->part_count) return false;
  for (uint32_t p = 0; p < x.record->part_count; p++) {
    const PartRecord &pa = da.parts[x.record->part_first + p],
                     &pb = db.parts[y.record->part_first + p];
    if (!same_record(da.encodings[pa.encoding], db.encodings[pb.encoding]) ||
        pa.column_set != pb.column_set)
      return false;
  }
  const std::vector<Piece> mine = pieces(da, *x.record), theirs = pieces(db, *y.record);
  return std::equal(mine.begin(), mine.end(), theirs.begin(), theirs.end(),
                    [&](const Piece& p, const Piece& q) {
                      return p.what == q.what && p.part == q.part &&
                             same_component(a, p.component, b, q.component);
                    });
}

/// Which columns, smoothing and quantizers: what a layer does to its input.
bool same_input(const ModelFile& a, uint32_t x, const ModelFile& b, uint32_t y) {
  if (x == kNone || y == kNone) return x == y;
  const InputRecord &ia = a.head().directory.inputs[x], &ib = b.head().directory.inputs[y];
  if (input_text(ia) != input_text(ib) || !same_component(a, ia.smooth, b, ib.smooth)) return false;
  for (size_t s = 0; s < ia.set_count; s++) {
    const ColumnSetRecord &p = ia.sets[s], &q = ib.sets[s];
    if (p.scale != q.scale || p.low != q.low || !same_component(a, p.columns, b, q.columns))
      return false;
  }
  return true;
}

/// Running sums over pairs of values. What is no number counts as an infinite difference.
struct Distance {
  double squares = 0, reference = 0, largest = 0;
  bool same = true;

  void add(const float* a, const float* b, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
      const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
      if (std::isfinite(x)) reference += x * x;
      if (a[i] == b[i] || (std::isnan(x) && std::isnan(y))) continue;
      const double d = std::isfinite(x - y) ? std::abs(x - y) : HUGE_VAL;
      same = false;
      squares += d * d;
      largest = std::max(largest, d);
    }
  }
};

/// The weights as the input, smoothed where it is to be, meets them.
Result<Distance> compare_weights(const ModelFile& a, const TensorView& x, const ModelFile& b,
                                 const TensorView& y) {
  constexpr uint64_t kValues = uint64_t{1} << 20;
  const uint64_t columns = x.shape.columns, step = std::max<uint64_t>(1, kValues / columns);
  const uint64_t at_once = std::min(step, x.shape.rows);
  std::vector<float> left(at_once * columns), right(left.size());
  Distance distance;
  for (uint64_t expert = 0; expert < x.shape.experts; expert++)
    for (uint64_t row = 0; row < x.shape.rows; row += at_once) {
      const RowRange rows = {expert, row, std::min(at_once, x.shape.rows - row)};
      if (auto ok = dequantize(a, x, rows, left.data()); !ok) return ok.error();
      if (auto ok = dequantize(b, y, rows, right.data()); !ok) return ok.error();
      distance.add(left.data(), right.data(), static_cast<int64_t>(rows.count * columns));
    }
  return distance;
}

/// The largest difference of two biases; infinite where only one tensor has one.
double bias_difference(const ModelFile& a, uint32_t x, const ModelFile& b, uint32_t y) {
  if (x == kNone && y == kNone) return 0;
  if (x == kNone || y == kNone) return HUGE_VAL;
  Distance distance;
  const auto p = a.component(x), q = b.component(y);
  for (size_t i = 0; i < p.size() / sizeof(float); i++) {
    const float left = load<float>(p.data(), static_cast<int64_t>(i));
    const float right = load<float>(q.data(), static_cast<int64_t>(i));
    distance.add(&left, &right, 1);
  }
  return distance.largest;
}

std::string encoding_text(const ModelFile& file, const TensorView& tensor, bool brief) {
  const Directory& d = file.head().directory;
  std::string text;
  for (uint32_t p = 0; p < tensor.record->part_count; p++) {
    const EncodingRecord& e = d.encodings[d.parts[tensor.record->part_first + p].encoding];
    text += (p > 0 ? " + " : "") + (brief ? short_words(e) : describe(e));
  }
  const std::string extras = extras_text(d, *tensor.record);
  return extras.empty() ? text : text + " with " + extras;
}

/// In few words where these tell the two apart; empty: they are alike.
std::string encoding_difference(const ModelFile& a, const TensorView& x, const ModelFile& b,
                                const TensorView& y) {
  for (const bool brief : {true, false}) {
    const std::string before = encoding_text(a, x, brief), after = encoding_text(b, y, brief);
    if (before != after) return "encoding " + before + " -> " + after;
  }
  return "";
}

std::string arrow(const std::string& what, const std::string& a, const std::string& b) {
  return what + " " + a + " -> " + b;
}

Result<void> compare_stored(const ModelFile& a, const TensorView& x, const ModelFile& b,
                            const TensorView& y, TensorDifference& out) {
  if (same_bytes(a, x, b, y)) return {};
  const auto distance = compare_weights(a, x, b, y);
  if (!distance) return distance.error();
  const double bias = bias_difference(a, x.record->bias, b, y.record->bias);
  if (bias > 0) out.details.push_back("bias differs by up to " + std::to_string(bias));
  out.likeness = distance->same && bias == 0 ? Likeness::same_values : Likeness::differ;
  out.largest = distance->largest;
  if (!distance->same)
    out.relative_error =
        distance->reference > 0 ? distance->squares / distance->reference : HUGE_VAL;
  return {};
}

Result<TensorDifference> compare(const ModelFile& a, const TensorView& x, const ModelFile& b,
                                 const TensorView& y) {
  TensorDifference out;
  out.name = x.name;
  if (x.record->rank != y.record->rank || x.record->shape != y.record->shape) {
    out.likeness = Likeness::differ;
    out.relative_error = out.largest = HUGE_VAL;
    out.details.push_back(arrow("shape", shape_text(*x.record), shape_text(*y.record)));
    return out;
  }
  if (const std::string encoding = encoding_difference(a, x, b, y); !encoding.empty())
    out.details.push_back(encoding);
  if (auto ok = compare_stored(a, x, b, y, out); !ok) return ok.error();
  if (!same_input(a, x.record->input, b, y.record->input)) {
    const auto words = [](const ModelFile& file, uint32_t input) {
      return input == kNone ? "none" : input_text(file.head().directory.inputs[input]);
    };
    out.details.push_back(arrow("input", words(a, x.record->input), words(b, y.record->input)));
    out.likeness = Likeness::differ;  // the layer computes something else, whatever its weights
  }
  return out;
}

std::string escaped(const std::string& key) {
  std::string out;
  for (const char c : key) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return out;
}

/// META nests 16 deep at most.
void walk(const Json& a, const Json& b, const std::string& pointer,
          std::vector<JsonDifference>& out) {
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items()) {
      const auto other = b.find(key);
      const std::string at = pointer + "/" + escaped(key);
      if (other == b.end())
        out.push_back({at, &value, nullptr});
      else
        walk(value, *other, at, out);
    }
    for (const auto& [key, value] : b.items())
      if (!a.contains(key)) out.push_back({pointer + "/" + escaped(key), nullptr, &value});
  } else if (a.is_array() && b.is_array()) {
    for (size_t i = 0; i < std::max(a.size(), b.size()); i++) {
      const std::string at = pointer + "/" + std::to_string(i);
      if (i < a.size() && i < b.size())
        walk(a[i], b[i], at, out);
      else
        out.push_back({at, i < a.size() ? &a[i] : nullptr, i < b.size() ? &b[i] : nullptr});
    }
  } else if (a != b) {
    out.push_back({pointer, &a, &b});
  }
}

}  // namespace

const char* likeness_name(Likeness likeness) {
  constexpr const char* kNames[] = {"same bytes", "same values", "differ", "only in A",
                                    "only in B"};
  return kNames[static_cast<size_t>(likeness)];
}

Result<std::vector<TensorDifference>> compare_tensors(const ModelFile& a, const ModelFile& b,
                                                      const CompareProgress& progress) {
  std::vector<TensorDifference> out;
  uint64_t done = 0;
  for (size_t i = 0, j = 0; i < a.tensor_count() || j < b.tensor_count();) {
    const bool has_a = i < a.tensor_count(), has_b = j < b.tensor_count();
    const TensorView x = has_a ? a.tensor(i) : TensorView{}, y = has_b ? b.tensor(j) : TensorView{};
    const bool in_a = has_a && (!has_b || x.name <= y.name);
    const bool in_b = has_b && (!has_a || y.name <= x.name);
    if (in_a && in_b) {
      auto compared = compare(a, x, b, y);
      if (!compared) return compared.error();
      out.push_back(*std::move(compared));
    } else {
      const Likeness only = in_a ? Likeness::only_a : Likeness::only_b;
      out.push_back({std::string(in_a ? x.name : y.name), only, 0, 0, {}});
    }
    if (in_a) done += stored_bytes(a.head().directory, *x.record);
    i += in_a ? 1 : 0;
    j += in_b ? 1 : 0;
    if (!progress(done)) return Error{Code::interrupted, "interrupted"};
  }
  return out;
}

std::vector<JsonDifference> compare_json(const Json& a, const Json& b) {
  std::vector<JsonDifference> out;
  walk(a, b, "", out);
  return out;
}

}  // namespace sqf
