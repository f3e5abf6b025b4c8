#pragma once
// What the commands of sqcheck share: the commands themselves, the words for what is in a file, and
// its sizes. Each command parses its own arguments and returns an exit code.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/head.hpp"
#include "format/json.hpp"
#include "loader/model_file.hpp"

namespace sqf {

int run_check(int argc, char** argv);  ///< sqcheck FILE...
int run_info(int argc, char** argv);   ///< sqcheck info FILE
int run_diff(int argc, char** argv);   ///< sqcheck diff A B
int run_rules(int argc, char** argv);  ///< sqcheck rules

// ---- contents: what a file holds, in numbers (sqcheck_contents.cpp) ----

/// One component of a tensor and what it is for.
struct Piece {
  std::string what;    ///< "code plane 0", "scales", "bias"
  uint32_t component;  ///< index
  uint32_t part;       ///< index in the tensor, or kNone for what belongs to the whole
};
std::vector<Piece> pieces(const Directory& directory, const TensorRecord& tensor);

uint64_t element_count(const TensorRecord& tensor);
double bits_per_weight(uint64_t bytes, uint64_t weights);

struct Totals {
  uint64_t tensors = 0, weights = 0, bytes = 0;
};
/// By encoding. A tensor's own components count for the encoding of its first part.
std::vector<Totals> totals_by_encoding(const Directory& directory);

/// Where the bytes of a file are; the four add up to the file.
struct FileBytes {
  uint64_t weights = 0;  ///< number of weights, not bytes
  uint64_t tensors = 0, inputs = 0, gaps = 0, head = 0;
  uint64_t data() const { return tensors + inputs + gaps; }
};
FileBytes file_bytes(const Head& head);

// ---- words (sqcheck_words.cpp) ----

/// Text from the file as a terminal may see it: control characters as \xNN, and everything that is
/// not ASCII too where the terminal does not speak UTF-8. Precondition: `text` is UTF-8.
std::string shown(std::string_view text);
bool speaks_utf8();

std::string shape_text(const TensorRecord& tensor);
std::string megabytes(uint64_t bytes);             ///< "91.2 MB", "1.5 KB"
std::string short_words(const EncodingRecord& e);  ///< up to scale and zero: "4-bit asymmetric g32"
/// What a tensor has besides its weights: "bias, low-rank 16 (i8), row sums"; empty: nothing.
std::string extras_text(const Directory& directory, const TensorRecord& tensor);
std::string quantizer_text(const ColumnSetRecord& set);
/// "576 columns: int8 per token; smoothed, to be applied".
std::string input_text(const InputRecord& input);
/// The features that META names beside those of the header, in words; empty: none.
std::vector<std::string> feature_words(const Head& head);

// ---- info ----

/// What decoding a tensor gives; the values of its parts, low-rank pair and bias not added.
struct Ranges {
  double low = 0, high = 0, mean_abs = 0, zeros = 0;  ///< zeros: their share
  double scale_low = 0, scale_high = 0;
  bool has_scales = false;
  uint64_t non_finite = 0;  ///< values; they stand in none of the numbers above
};
/// By tensor; empty where a signal interrupted. Reads all of DATA.
std::vector<Ranges> read_ranges(const ModelFile& file, bool progress);

Json ranges_json(const Ranges& ranges);
/// `ranges` may be empty.
Json info_json(const Head& head, std::span<const Ranges> ranges);
/// The tensors by the parts of their names, runs of like layers folded unless `all`.
void print_tree(const Directory& directory, std::span<const Ranges> ranges, bool all);

}  // namespace sqf
