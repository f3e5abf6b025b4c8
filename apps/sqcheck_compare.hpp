#pragma once
// How the contents of two files differ, as data: sqcheck diff prints it.

#include <functional>
#include <string>
#include <vector>

#include "format/json.hpp"
#include "loader/model_file.hpp"

namespace sqf {

enum class Likeness : uint8_t {
  same_bytes,   ///< every stored byte, every record
  same_values,  ///< stored otherwise, and each value is the same
  differ,
  only_a,
  only_b
};
const char* likeness_name(Likeness likeness);

struct TensorDifference {
  std::string name;
  Likeness likeness = Likeness::same_bytes;
  double relative_error = 0;         ///< sum of (a - b)^2 over sum of a^2; of the weights
  double largest = 0;                ///< largest |a - b|
  std::vector<std::string> details;  ///< what else differs: "encoding f16 -> 4-bit ..."
};

/// Called with the bytes of A's tensors compared so far; false: stop.
using CompareProgress = std::function<bool(uint64_t)>;

/// All tensors of both files by name. Errors: interrupted, if `progress` stopped it; as dequantize.
Result<std::vector<TensorDifference>> compare_tensors(const ModelFile& a, const ModelFile& b,
                                                      const CompareProgress& progress);

/// One difference of two JSON texts: where (a JSON pointer), and both sides, null where absent.
struct JsonDifference {
  std::string pointer;
  const Json* a = nullptr;
  const Json* b = nullptr;
};
std::vector<JsonDifference> compare_json(const Json& a, const Json& b);

}  // namespace sqf
