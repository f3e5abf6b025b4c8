#pragma once
// The edge between the C interface (include/sqf.h) and the C++ behind it: what a handle is, how a
// Result becomes a code and an sqf_error, and that no exception passes.

#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "loader/model_file.hpp"
#include "sqf.h"

/// What a handle points to. `names` has every tensor's name with a terminating 0: tensor i's starts
/// at its offset in the directory's pool plus i.
struct sqf_file {
  sqf::ModelFile model;
  std::string names;
};

namespace sqf {

/// What a call is about, as far as it has found out; an error is completed with it.
struct CallContext {
  std::string_view tensor;
};

/// The one place where an Error becomes an sqf_error. Allocates nothing; `out` may be null.
sqf_code fill_error(const Error& error, const CallContext& context, sqf_error* out) noexcept;
/// The same where there may be no memory for an Error.
sqf_code fill_error(sqf_code code, std::string_view message, sqf_error* out) noexcept;
void clear_error(sqf_error* out) noexcept;

/// Runs body(CallContext&) -> Result<void>.
template <typename Body>
sqf_code at_boundary(sqf_error* error, Body body) noexcept {
  try {
    CallContext context;
    const Result<void> result = body(context);
    if (!result) return fill_error(result.error(), context, error);
    clear_error(error);
    return SQF_OK;
  } catch (const std::bad_alloc&) {
    return fill_error(SQF_ERROR_IO, "out of memory", error);
  } catch (const std::exception& e) {
    return fill_error(SQF_ERROR_IO, e.what(), error);
  } catch (...) {
    return fill_error(SQF_ERROR_IO, "an exception of unknown type", error);
  }
}

inline Error null_argument(const char* name) {
  return usage_error(std::string("argument ") + name + " is null");
}

/// Tensor `index` of a file that may be null.
Result<TensorView> tensor_at(const sqf_file* file, uint32_t index, CallContext& context);

}  // namespace sqf
