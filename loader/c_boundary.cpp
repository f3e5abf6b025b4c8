#include "loader/c_boundary.hpp"

#include <algorithm>
#include <cstring>

namespace sqf {
namespace {

// Callers compiled against another 1.x have these structs in their own memory.
static_assert(sizeof(sqf_error) == 920 && sizeof(sqf_info) == 72 && sizeof(sqf_tensor) == 128 &&
              sizeof(sqf_encoding) == 176 && sizeof(sqf_column_set) == 64 &&
              sizeof(sqf_input) == 280 && sizeof(sqf_part) == 248 && sizeof(sqf_component) == 64);
static_assert(SQF_ERROR_MALFORMED == static_cast<int>(Code::malformed) &&
              SQF_ERROR_USAGE == static_cast<int>(Code::usage) &&
              SQF_ERROR_IO == static_cast<int>(Code::io) &&
              SQF_ERROR_UNSUPPORTED == static_cast<int>(Code::unsupported) &&
              SQF_ERROR_INTERRUPTED == static_cast<int>(Code::interrupted));

/// Copies with a terminating 0; what does not fit is cut between code points.
template <size_t N>
void copy_text(char (&out)[N], std::string_view text) {
  size_t size = std::min(text.size(), N - 1);
  if (size < text.size())
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0u) == 0x80u) size--;
  if (size > 0) std::memcpy(out, text.data(), size);
  out[size] = '\0';
}

}  // namespace

void clear_error(sqf_error* out) noexcept {
  if (out != nullptr) *out = {};
}

sqf_code fill_error(sqf_code code, std::string_view message, sqf_error* out) noexcept {
  clear_error(out);
  if (out == nullptr) return code;
  out->code = static_cast<uint32_t>(code);
  copy_text(out->message, message);
  return code;
}

sqf_code fill_error(const Error& error, const CallContext& context, sqf_error* out) noexcept {
  const auto code = static_cast<sqf_code>(error.code);
  fill_error(code, error.message, out);
  if (out == nullptr) return code;
  out->rule = error.rule;
  const std::string_view tensor = error.tensor.empty() ? context.tensor : error.tensor;
  if (!tensor.empty()) {
    out->known |= SQF_KNOWN_TENSOR;
    copy_text(out->tensor, tensor);
  }
  if (error.offset != Error::kNowhere) {
    out->known |= SQF_KNOWN_OFFSET;
    out->offset = error.offset;
  }
  if (!error.expected.empty()) {
    out->known |= SQF_KNOWN_VALUES;
    copy_text(out->expected, error.expected);
    copy_text(out->found, error.found);
  }
  return code;
}

Result<TensorView> tensor_at(const sqf_file* file, uint32_t index, CallContext& context) {
  if (file == nullptr) return null_argument("file");
  if (index >= file->model.tensor_count())
    return usage_error("tensor " + std::to_string(index) + " of " +
                       std::to_string(file->model.tensor_count()));
  const TensorView tensor = file->model.tensor(index);
  context.tensor = tensor.name;
  return tensor;
}

}  // namespace sqf
