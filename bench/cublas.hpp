#pragma once
// FP16 products of cuBLAS, what quantized ones are measured against; the library is found when the
// program runs, and done without where there is none. SQF_LIBCUBLAS names another.

#include "cuda/device.hpp"

namespace sqf {

class Cublas {
 public:
  /// On the device's stream. Errors: unsupported, with why there is none.
  static Result<Cublas> open(const Device& device);
  Cublas(Cublas&& other) noexcept;
  ~Cublas();

  /// y [tokens][rows] = x [tokens][columns] times w [rows][columns]: f16 all, sums in f32.
  Result<void> multiply(const void* w, const void* x, void* y, int64_t rows, int64_t columns,
                        int64_t tokens) const;

 private:
  Cublas() = default;
  using Destroy = int (*)(void*);
  using GemmEx = int (*)(void* handle, int a_op, int b_op, int m, int n, int k, const void* alpha,
                         const void* a, int a_type, int lda, const void* b, int b_type, int ldb,
                         const void* beta, void* c, int c_type, int ldc, int compute,
                         int algorithm);
  void* handle_ = nullptr;
  Destroy destroy_ = nullptr;
  GemmEx gemm_ = nullptr;
};

}  // namespace sqf
