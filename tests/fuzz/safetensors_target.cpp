// A safetensors file: what the reader accepts must tile its data, and every row must decode.

#include <vector>

#include "converter/safetensors.hpp"
#include "tests/fuzz/guard.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const sqf::TimeGuard guard;
  const auto tensors = sqf::read_safetensors(sqf::input_bytes(data, size), "input");
  if (!tensors) return 0;
  uint64_t sum = 0;
  std::vector<float> row;
  for (const sqf::SourceTensor& t : *tensors) {
    sum += t.bytes.size();
    row.assign(static_cast<size_t>(sqf::column_count(t)), 0);
    const int64_t rows = sqf::row_count(t);
    for (const int64_t r : {int64_t{0}, rows / 2, rows - 1}) sqf::read_rows(t, r, 1, row.data());
  }
  sqf::require(sum < size, "the tensors' bytes lie in the file");
  return 0;
}
