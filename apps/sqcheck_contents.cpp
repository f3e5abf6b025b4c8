// What a file holds, in numbers: components, bytes, bits per weight.

#include "apps/sqcheck.hpp"

namespace sqf {

std::vector<Piece> pieces(const Directory& d, const TensorRecord& t) {
  std::vector<Piece> out;
  uint32_t plane = 0;
  each_stored(d, t, [&](uint32_t part, uint32_t index, std::string what) {
    if (out.empty() || out.back().part != part) plane = 0;
    if (part != kNone) {
      const EncodingRecord& e = d.encodings[d.parts[t.part_first + part].encoding];
      if (e.grid == Grid::real && plane == 0)
        what = "values";
      else if (plane < e.plane_count)
        what += " " + std::to_string(plane);
      plane++;
    }
    out.push_back({what, index, part});
  });
  return out;
}

uint64_t element_count(const TensorRecord& t) {
  uint64_t n = 1;
  for (size_t i = 0; i < t.rank; i++) n *= t.shape[i];
  return n;
}

double bits_per_weight(uint64_t bytes, uint64_t weights) {
  return weights == 0 ? 0 : 8.0 * static_cast<double>(bytes) / static_cast<double>(weights);
}

std::vector<Totals> totals_by_encoding(const Directory& d) {
  std::vector<Totals> totals(d.encodings.size());
  for (const TensorRecord& t : d.tensors) {
    // A column part's weights are its own columns; whatever the whole tensor has goes to the first.
    const MatrixShape m = matrix_shape(t);
    const auto encoding = [&](uint32_t part) -> Totals& {
      return totals[d.parts[t.part_first + (part == kNone ? 0 : part)].encoding];
    };
    encoding(kNone).tensors++;
    for (uint32_t p = 0; p < t.part_count; p++)
      encoding(p).weights += m.experts * m.rows * part_columns(d, t, d.parts[t.part_first + p]);
    for (const Piece& piece : pieces(d, t))
      encoding(piece.part).bytes += d.components[piece.component].size;
  }
  return totals;
}

FileBytes file_bytes(const Head& head) {
  const Directory& d = head.directory;
  FileBytes bytes;
  uint64_t all = 0;
  for (const ComponentRecord& c : d.components) all += c.size;
  for (const TensorRecord& t : d.tensors) {
    bytes.weights += element_count(t);
    bytes.tensors += stored_bytes(d, t);
  }
  bytes.inputs = all - bytes.tensors;
  bytes.gaps = head.data_end() - head.data_begin() - all;
  bytes.head = head.data_begin();
  return bytes;
}

}  // namespace sqf
