#pragma once
// The kernels that multiply a part: which ones by encoding and activations, which of them and on
// what grid by the number of tokens. Everything is settled when a model is loaded.

#include <array>
#include <span>

#include "cuda/device.hpp"
#include "cuda/integer_forms.hpp"

namespace sqf {

inline constexpr int64_t kFewTokens = kDecodeTokens, kSomeTokens = 2 * kDecodeTokens;

/// Where memory decides, the tensor cores have time for activations of two f16 each. More tokens
/// than these would not leave room for two blocks on a multiprocessor.
inline constexpr int64_t kSplitTokens = 4;

inline constexpr size_t kProductsTogether = 1 + kMoreProducts;

/// How a part meets its activation.
enum class PartForm : uint8_t { plain, halves, integers };  ///< plain: f32, every encoding

class PartKernels {
 public:
  /// For the part and x_planes of `arguments`. Errors: io (no such kernel), unsupported (a GPU with
  /// too little shared memory).
  static Result<PartKernels> choose(const Device& device, const MatmulArguments& arguments,
                                    PartForm form, IntegerForms integers = {});

  /// Up to kProductsTogether products of one activation, for all of which these kernels were
  /// chosen, of one encoding: in one launch of few tokens where the kernel can, else one by one.
  Result<void> launch(const Device& device, std::span<const MatmulArguments> products) const;

  const IntegerForms& integers() const { return integers_; }
  /// Of MatmulArguments::partial for one launch of these products, of whatever tokens.
  int64_t partial_floats(const Device& device, std::span<const MatmulArguments> products) const;

 private:
  Result<void> choose_bits(const Device& device);
  bool decodes(const MatmulArguments& arguments) const;
  Result<void> launch_decode(const Device& device, std::span<const MatmulArguments> products) const;
  Result<void> launch_one(const Device& device, MatmulArguments arguments) const;
  Result<void> launch_many(const Device& device, const MatmulArguments& arguments) const;
  unsigned decode_shared(const DevicePart& part, int64_t tokens, bool split) const;
  unsigned prefill_shared(const MatmulArguments& arguments, int64_t x_rows) const;

  PartForm form_ = PartForm::plain;
  IntegerForms integers_;
  CUfunction few_ = nullptr, some_ = nullptr;   ///< up to 8, up to 16 tokens
  CUfunction many_ = nullptr, most_ = nullptr;  ///< more, in blocks of 64 and of 128
  std::array<CUfunction, 4> bits_ = {};         ///< for 1, 2, 4 and 8 eights of activations' planes
};

}  // namespace sqf
