#include "bench/cublas.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <utility>

namespace sqf {
namespace {

// From cublas_api.h and library_types.h, which builds without the library lack.
constexpr int kSuccess = 0, kAsItIs = 0, kTransposed = 1, kHalf = 2, kSumsInFloat = 68,
              kAnyAlgorithm = -1;

void* find_library() {
  if (const char* named = std::getenv("SQF_LIBCUBLAS")) return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  for (const char* name : {"libcublas.so.13", "libcublas.so.12", "libcublas.so"})
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  return dlopen("/usr/local/cuda/lib64/libcublas.so", RTLD_NOW | RTLD_LOCAL);
}

Error failed(const char* what, int status) {
  return io_error("cuBLAS: " + std::string(what) + " returns " + std::to_string(status));
}

}  // namespace

Result<Cublas> Cublas::open(const Device& device) {
  if (std::getenv("SQF_LIBCUDA") != nullptr)
    return unsupported("no cuBLAS beside another driver than its own");
  void* const library = find_library();
  if (library == nullptr) return unsupported("no cuBLAS: " + std::string(dlerror()));
  const auto create = reinterpret_cast<int (*)(void**)>(dlsym(library, "cublasCreate_v2"));
  const auto set_stream =
      reinterpret_cast<int (*)(void*, void*)>(dlsym(library, "cublasSetStream_v2"));
  Cublas cublas;
  cublas.destroy_ = reinterpret_cast<Destroy>(dlsym(library, "cublasDestroy_v2"));
  cublas.gemm_ = reinterpret_cast<GemmEx>(dlsym(library, "cublasGemmEx"));
  if (create == nullptr || set_stream == nullptr || cublas.destroy_ == nullptr ||
      cublas.gemm_ == nullptr)
    return unsupported("the cuBLAS found lacks a function");
  if (const int status = create(&cublas.handle_); status != kSuccess)
    return failed("cublasCreate", status);
  if (const int status = set_stream(cublas.handle_, device.stream()); status != kSuccess)
    return failed("cublasSetStream", status);
  return cublas;
}

Cublas::Cublas(Cublas&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      destroy_(other.destroy_),
      gemm_(other.gemm_) {}

Cublas::~Cublas() {
  if (handle_ != nullptr) destroy_(handle_);
}

Result<void> Cublas::multiply(const void* w, const void* x, void* y, int64_t rows, int64_t columns,
                              int64_t tokens) const {
  // Columns first: w is [columns, rows], y [rows, tokens].
  const float one = 1, zero = 0;
  const auto m = static_cast<int>(rows), n = static_cast<int>(tokens),
             k = static_cast<int>(columns);
  const int status = gemm_(handle_, kTransposed, kAsItIs, m, n, k, &one, w, kHalf, k, x, kHalf, k,
                           &zero, y, kHalf, m, kSumsInFloat, kAnyAlgorithm);
  if (status != kSuccess) return failed("cublasGemmEx", status);
  return {};
}

}  // namespace sqf
