#pragma once
// Linear layers on the GPU: which forms of an activation the readers of it want, and which part is
// multiplied by which form. Everything is settled when the model is loaded; a pass only launches.

#include <memory>
#include <vector>

#include "cuda/part_kernels.hpp"
#include "cuda/weights.hpp"

namespace sqf {

/// An activation on the GPU and what is done to it before anything else.
struct DeviceActivation {
  FormSource source = FormSource::plain;
  const float* x = nullptr;      ///< [tokens][columns]
  const float* other = nullptr;  ///< as in FormArguments
  float epsilon = 0;
};

/// One product: a part times a form, into or onto y.
struct Product {
  MatmulArguments arguments = {};
  PartForm form = PartForm::plain;
  PartKernels kernels;
  size_t few_form = 0, many_form = 0;  ///< which of the readers' forms is x, up to 16 tokens, more
  int narrow = -1;    ///< or the narrow activation of a low-rank pair: B's y, A's x
  bool onto = false;  ///< what an earlier product made of y
};

/// One of a layer's products.
struct ProductPlace {
  size_t layer, product;
};

/// The layers that read one activation, with its forms.
struct Readers {
  std::vector<FormArguments> forms;  ///< of one token each; x and memory set when launched
  std::vector<const void*> feeds;    ///< which feed each is of
  std::vector<unsigned> uses;        ///< whether some kernel wants it: kForFew, kForMany
  std::vector<std::vector<Product>> layers;
  /// In this order, those of an entry together: their layers' weights have one encoding.
  std::vector<std::vector<ProductPlace>> launches;
  int64_t columns = 0;
};

/// Makes readers and runs them. Owns the memory that passes between kernels.
class Products {
 public:
  /// `exact`: activations are always two f16 each, not only where that costs nothing.
  Products(const Device& device, DeviceWeights* weights, int64_t max_tokens, bool exact)
      : device_(device), weights_(weights), max_tokens_(max_tokens), exact_(exact) {}

  /// Errors: io.
  Result<Readers> prepare(std::span<const Linear* const> layers);
  /// After the last prepare(): takes the memory. Errors: io, with the bytes.
  Result<void> allocate();

  /// y[i] [tokens][rows of layer i] = or, with `add`, += layer i times the activation.
  Result<void> run(const Readers& readers, const DeviceActivation& activation, int64_t tokens,
                   std::span<float* const> y, bool add) const;

 private:
  bool splits(int64_t tokens) const;
  Result<size_t> form_of(Readers* readers, const Feed* feed, FormType type, int32_t group,
                         unsigned use);
  Result<Product> product(Readers* readers, const DevicePart& part, const EncodingRecord* encoding,
                          const Feed* feed);
  Result<void> add_low_rank(Readers* readers, const Linear& linear, std::vector<Product>* out);
  Result<void> choose_kernels(Product* product, IntegerForms types);
  void plan_launches(std::span<const Linear* const> layers, Readers* readers);
  void plan_launch(std::vector<ProductPlace> together, Readers* readers);
  Result<void> make_form(FormArguments form, const DeviceActivation& activation, size_t slot,
                         int64_t tokens) const;
  Result<void> make_narrow_form(const Product& a, int64_t tokens) const;
  MatmulArguments arguments(const Readers& readers, ProductPlace place, float* y, bool add,
                            int64_t tokens) const;
  void place_form(size_t slot, const FormArguments& form, MatmulArguments* arguments) const;

  const Device& device_;
  DeviceWeights* weights_;
  int64_t max_tokens_;
  bool exact_;
  // Sizes for one token, found while preparing.
  std::vector<size_t> slot_bytes_, slot_groups_;
  int64_t narrow_columns_ = 0, narrow_stride_ = 0, tiles_ = 0, partial_floats_ = 0;
  std::vector<DeviceMemory> slots_, slot_scales_, slot_lows_, slot_sums_;
  DeviceMemory ranges_, narrow_, narrow_form_, partial_, tickets_;
  CUfunction form_ = nullptr;
};

}  // namespace sqf
