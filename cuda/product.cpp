#include "cuda/product.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "format/activation.hpp"
#include "runtime/cpu/matmul.hpp"

namespace sqf {
namespace {

constexpr int64_t kLongestIntegerRow = 65536;  // columns whose u8 x s8 products an int32 holds

constexpr unsigned kForFew = 1, kForMany = 2;  // up to kSomeTokens tokens, more

int64_t padded(int64_t columns, FormType type = FormType::f16) {
  const int64_t step = type == FormType::s4   ? kNibbleColumns
                       : type == FormType::b1 ? kBitColumns
                                              : kStepColumns;
  return (columns + step - 1) / step * step;
}

int64_t row_bytes(const FormArguments& form) {
  const int64_t bits = form.type == FormType::f32   ? 32
                       : form.type == FormType::f16 ? 16
                       : form.type == FormType::s8  ? 8
                       : form.type == FormType::s4  ? 4
                                                    : form.planes;
  return form.stride * bits / 8;
}

void set_quantizer(const ColumnSetRecord& set, FormArguments* form) {
  if (set.quantizer == QuantizerKind::none) return;
  form->quantizer =
      set.quantizer == QuantizerKind::integer ? Quantizer::integer : Quantizer::minifloat;
  form->asymmetric = set.asymmetric;
  form->is_static = set.is_static;
  form->per_tensor = set.per_tensor;
  form->exponent_bits = set.exponent_bits;
  form->mantissa_bits = set.mantissa_bits;
  form->scale = set.scale;
  form->low = set.low;
  form->largest = largest_element(set);
  if (set.quantizer != QuantizerKind::integer) return;
  const IntegerRange range = integers_of(set);
  form->lowest = range.lowest;
  form->highest = range.highest;
  // About the middle of the range: signed numbers of as many bits, in whichever form.
  form->shift = set.asymmetric != 0 ? (range.highest + 1) / 2 : 0;
}

bool quantizes_integers(const Feed* feed) {
  return feed != nullptr && feed->set.quantizer == QuantizerKind::integer;
}

/// Whether one launch can make both: weights of one encoding, hence of the same kernels, tables of
/// the same contents, by the same forms.
bool are_alike(const PartView& a, const Product& one, const PartView& b, const Product& other) {
  return std::memcmp(&a.encoding, &b.encoding, sizeof(a.encoding)) == 0 && a.columns == b.columns &&
         one.few_form == other.few_form && one.many_form == other.many_form &&
         one.form == other.form &&
         (one.arguments.row_sums == nullptr) == (other.arguments.row_sums == nullptr);
}

}  // namespace

bool Products::splits(int64_t tokens) const {
  return exact_ || tokens <= kSplitTokens;
}

Result<size_t> Products::form_of(Readers* readers, const Feed* feed, FormType type, int32_t group,
                                 unsigned use) {
  for (size_t i = 0; i < readers->forms.size(); i++) {
    const FormArguments& known = readers->forms[i];
    if (readers->feeds[i] != feed || known.type != type || known.group != group) continue;
    readers->uses[i] |= use;
    return i;
  }
  FormArguments form = {};
  form.type = type;
  form.columns = static_cast<int32_t>(readers->columns);
  form.count = feed != nullptr ? static_cast<int32_t>(feed->count) : form.columns;
  form.stride = padded(form.count, type);
  form.planes = type == FormType::b1 ? activation_planes(feed->set.bits) : 0;
  form.group = group;
  form.groups = group == 0 ? 0 : (form.count + group - 1) / group;
  if (feed != nullptr) {
    form.smooth = weights_->at(feed->smooth);
    form.factors = weights_->at(feed->factors);
    set_quantizer(feed->set, &form);
    if (!feed->gather.empty()) {
      auto gather = weights_->keep(feed->gather);
      if (!gather) return gather.error();
      form.gather = *gather;
    }
  }
  const size_t slot = readers->forms.size();
  slot_bytes_.resize(std::max(slot_bytes_.size(), slot + 1));
  slot_groups_.resize(slot_bytes_.size());
  slot_bytes_[slot] = std::max(slot_bytes_[slot], static_cast<size_t>(row_bytes(form)));
  slot_groups_[slot] = std::max(slot_groups_[slot], static_cast<size_t>(form.groups));
  readers->forms.push_back(form);
  readers->feeds.push_back(feed);
  readers->uses.push_back(use);
  return slot;
}

Result<Product> Products::product(Readers* readers, const DevicePart& part,
                                  const EncodingRecord* encoding, const Feed* feed) {
  Product p;
  p.arguments.part = part;
  p.form = PartForm::halves;
  if (encoding != nullptr && !has_tensor_core_form(*encoding))
    p.form = PartForm::plain;
  else if (encoding != nullptr && has_integer_kernel(*encoding) && quantizes_integers(feed) &&
           part.group <= kLongestIntegerRow)
    p.form = PartForm::integers;
  const FormType real = p.form == PartForm::plain ? FormType::f32 : FormType::f16;
  IntegerForms types = {real, real};
  if (p.form == PartForm::integers) {
    types = integer_forms(device_.capability(), part, feed->set.bits);
    p.arguments.x_planes = activation_planes(feed->set.bits);
  }
  const bool sums = p.form == PartForm::integers ||
                    (p.form == PartForm::halves && part.zero_kind == Zeros::minimum);
  auto few = form_of(readers, feed, types.few, sums ? part.group : 0, kForFew);
  auto many = form_of(readers, feed, types.many, sums ? part.group : 0, kForMany);
  if (!few || !many) return few ? many.error() : few.error();
  p.few_form = *few;
  p.many_form = *many;
  if (auto r = choose_kernels(&p, types); !r) return r.error();
  return p;
}

Result<void> Products::choose_kernels(Product* p, IntegerForms types) {
  auto chosen = PartKernels::choose(device_, p->arguments, p->form, types);
  if (!chosen) return chosen.error();
  p->kernels = *chosen;
  return {};
}

Result<void> Products::add_low_rank(Readers* readers, const Linear& linear,
                                    std::vector<Product>* out) {
  auto narrow = weights_->factor(linear.b), wide = weights_->factor(linear.a);
  if (!narrow || !wide) return narrow ? wide.error() : narrow.error();
  auto b = product(readers, *narrow, nullptr, linear.low_rank_feed);
  if (!b) return b.error();
  b->narrow = 0;
  Product a;
  a.onto = !out->empty();
  a.arguments.part = *wide;
  a.narrow = 1;
  a.form = PartForm::halves;
  if (auto r = choose_kernels(&a, {}); !r) return r;
  narrow_columns_ = std::max(narrow_columns_, linear.b.rows);
  narrow_stride_ = std::max(narrow_stride_, padded(linear.b.rows));
  out->push_back(*b);
  out->push_back(a);
  return {};
}

Result<Readers> Products::prepare(std::span<const Linear* const> layers) {
  Readers readers;
  readers.columns = layers[0]->columns;
  for (const Linear* linear : layers) {
    std::vector<Product> products;
    for (const LinearPart& part : linear->parts) {
      auto on_device = weights_->part(part.weight);
      if (!on_device) return on_device.error();
      auto p = product(&readers, *on_device, &part.weight.encoding, part.feed);
      if (!p) return p.error();
      if (p->form == PartForm::integers && !part.weight_sums.empty()) {
        auto sums = weights_->keep(part.weight_sums);
        if (!sums) return sums.error();
        p->arguments.row_sums = *sums;
      }
      p->onto = !products.empty();
      products.push_back(*p);
    }
    if (linear->has_low_rank())
      if (auto r = add_low_rank(&readers, *linear, &products); !r) return r.error();
    products.back().arguments.bias = weights_->at(linear->bias);
    readers.layers.push_back(std::move(products));
  }
  plan_launches(layers, &readers);
  return readers;
}

/// The first parts of all layers, the second, and so on, so that every y keeps its order; then the
/// low-rank pairs, whose narrow activations have one place.
void Products::plan_launches(std::span<const Linear* const> layers, Readers* readers) {
  size_t most = 0;
  for (const Linear* linear : layers) most = std::max(most, linear->parts.size());
  for (size_t p = 0; p < most; p++) {
    std::vector<bool> placed(layers.size());
    for (size_t l = 0; l < layers.size(); l++) {
      if (placed[l] || p >= layers[l]->parts.size()) continue;
      std::vector<ProductPlace> together = {{l, p}};
      for (size_t m = l + 1; m < layers.size() && together.size() < kProductsTogether; m++) {
        if (placed[m] || p >= layers[m]->parts.size()) continue;
        if (!are_alike(layers[l]->parts[p].weight, readers->layers[l][p],
                       layers[m]->parts[p].weight, readers->layers[m][p]))
          continue;
        together.push_back({m, p});
        placed[m] = true;
      }
      plan_launch(std::move(together), readers);
    }
  }
  for (size_t l = 0; l < layers.size(); l++)
    for (size_t p = layers[l]->parts.size(); p < readers->layers[l].size(); p++)
      plan_launch({{l, p}}, readers);
}

/// With room for what its kernels pass among themselves.
void Products::plan_launch(std::vector<ProductPlace> together, Readers* readers) {
  std::vector<MatmulArguments> products;
  int64_t tiles = 0;
  for (const ProductPlace& at : together) {
    products.push_back(readers->layers[at.layer][at.product].arguments);
    tiles += (products.back().part.rows + kTileRows - 1) / kTileRows;
  }
  const PartKernels& kernels = readers->layers[together[0].layer][together[0].product].kernels;
  tiles_ = std::max(tiles_, tiles);
  partial_floats_ = std::max(partial_floats_, kernels.partial_floats(device_, products));
  for (const MatmulArguments& alone : products)
    partial_floats_ =
        std::max(partial_floats_, kernels.partial_floats(device_, std::span(&alone, 1)));
  readers->launches.push_back(std::move(together));
}

Result<void> Products::allocate() {
  const auto take = [&](DeviceMemory* to, size_t bytes) -> Result<void> {
    auto memory = device_.allocate(bytes, "activations");
    if (!memory) return memory.error();
    *to = std::move(*memory);
    return {};
  };
  const auto tokens = static_cast<size_t>(max_tokens_);
  const size_t rows_of_x =
      exact_ ? 2 * tokens
             : std::max(tokens, 2 * std::min(tokens, static_cast<size_t>(kSplitTokens)));
  for (auto* list : {&slots_, &slot_scales_, &slot_lows_, &slot_sums_})
    list->resize(slot_bytes_.size());
  for (size_t i = 0; i < slot_bytes_.size(); i++) {
    if (auto r = take(&slots_[i], rows_of_x * slot_bytes_[i]); !r) return r;
    if (auto r = take(&slot_scales_[i], tokens * sizeof(float)); !r) return r;
    if (auto r = take(&slot_lows_[i], tokens * sizeof(float)); !r) return r;
    if (auto r = take(&slot_sums_[i], tokens * slot_groups_[i] * sizeof(float)); !r) return r;
  }
  if (auto r = take(&ranges_, 2 * tokens * sizeof(float)); !r) return r;
  if (auto r = take(&narrow_, tokens * static_cast<size_t>(narrow_columns_) * 4); !r) return r;
  if (auto r = take(&narrow_form_, rows_of_x * static_cast<size_t>(narrow_stride_) * 2); !r)
    return r;
  if (auto r = take(&partial_, static_cast<size_t>(partial_floats_) * 4); !r) return r;
  if (auto r = take(&tickets_, static_cast<size_t>(tiles_) * 4); !r) return r;
  if (auto r = device_.zero(tickets_.as(), tickets_.size()); !r) return r;
  auto form = device_.kernel("form");
  if (!form) return form.error();
  form_ = *form;
  return {};
}

Result<void> Products::make_form(FormArguments form, const DeviceActivation& activation,
                                 size_t slot, int64_t tokens) const {
  form.source = activation.source;
  form.x = activation.x;
  form.other = activation.other;
  form.epsilon = activation.epsilon;
  form.out = slots_[slot].as();
  form.scales = slot_scales_[slot].as<float>();
  form.lows = form.asymmetric != 0 ? slot_lows_[slot].as<float>() : nullptr;
  form.sums = form.groups != 0 ? slot_sums_[slot].as() : nullptr;
  form.tokens = static_cast<int32_t>(tokens);
  form.split = splits(tokens) ? 1 : 0;
  const LaunchShape shape = {static_cast<unsigned>(tokens), 1, kFormThreads, 0};
  if (form.per_tensor != 0 && form.quantizer != Quantizer::none) {
    form.ranges_out = ranges_.as<float>();
    if (auto r = device_.launch(form_, shape, &form); !r) return r;
    form.ranges_out = nullptr;
    form.ranges = ranges_.as<float>();
  }
  return device_.launch(form_, shape, &form);
}

Result<void> Products::make_narrow_form(const Product& a, int64_t tokens) const {
  FormArguments form = {};
  form.type = FormType::f16;
  form.x = narrow_.as<float>();
  form.columns = form.count = a.arguments.part.columns;
  form.stride = padded(form.count);
  form.out = narrow_form_.as();
  form.tokens = static_cast<int32_t>(tokens);
  form.split = splits(tokens) ? 1 : 0;
  return device_.launch(form_, {static_cast<unsigned>(tokens), 1, kFormThreads, 0}, &form);
}

void Products::place_form(size_t slot, const FormArguments& form, MatmulArguments* a) const {
  a->x = slots_[slot].as();
  a->x_stride = form.stride;
  a->x_scales = slot_scales_[slot].as<float>();
  a->x_sums = slot_sums_[slot].as();
  a->x_lows = a->row_sums != nullptr ? slot_lows_[slot].as<float>() : nullptr;
}

/// `y` is the layer's.
MatmulArguments Products::arguments(const Readers& readers, ProductPlace place, float* y, bool add,
                                    int64_t tokens) const {
  const Product& p = readers.layers[place.layer][place.product];
  MatmulArguments a = p.arguments;
  if (p.narrow == 1) {
    a.x = narrow_form_.as();
    a.x_stride = padded(a.part.columns);
  } else {
    const size_t form = tokens > kSomeTokens ? p.many_form : p.few_form;
    place_form(form, readers.forms[form], &a);
  }
  a.y = p.narrow == 0 ? narrow_.as<float>() : y;
  a.y_stride = a.part.rows;
  a.add = p.narrow != 0 && (add || p.onto) ? 1 : 0;
  a.tokens = static_cast<int32_t>(tokens);
  a.split = p.form == PartForm::halves && splits(tokens) ? 1 : 0;
  a.partial = partial_.as<float>();
  a.tickets = tickets_.as<uint32_t>();
  return a;
}

Result<void> Products::run(const Readers& readers, const DeviceActivation& activation,
                           int64_t tokens, std::span<float* const> y, bool add) const {
  const unsigned use = tokens > kSomeTokens ? kForMany : kForFew;
  for (size_t i = 0; i < readers.forms.size(); i++) {
    if ((readers.uses[i] & use) == 0) continue;
    if (auto r = make_form(readers.forms[i], activation, i, tokens); !r) return r;
  }
  for (const std::vector<ProductPlace>& together : readers.launches) {
    const Product& first = readers.layers[together[0].layer][together[0].product];
    if (first.narrow == 1)
      if (auto r = make_narrow_form(first, tokens); !r) return r;
    std::array<MatmulArguments, kProductsTogether> products;
    for (size_t i = 0; i < together.size(); i++)
      products[i] = arguments(readers, together[i], y[together[i].layer], add, tokens);
    if (auto r = first.kernels.launch(device_, std::span(products).first(together.size())); !r)
      return r;
  }
  return {};
}

}  // namespace sqf
