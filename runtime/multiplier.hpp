#pragma once
// Linear layers times activations. An activation is brought once into every form that the layers
// reading it want (smoothed, gathered, quantized by the file or for the integer kernels); then
// threads multiply their shares of the rows. Refuses nothing: load_linear() did.

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "format/activation.hpp"
#include "runtime/cpu/quantize.hpp"
#include "runtime/linear.hpp"
#include "runtime/thread_pool.hpp"

namespace sqf {

class Multiplier {
 public:
  /// `exact`: only a file's own quantizers round activations. The pool must outlive this.
  Multiplier(Isa isa, bool exact, ThreadPool* pool) : isa_(isa), exact_(exact), pool_(pool) {}

  /// x [tokens][columns] is what `readers` will be multiplied by; it must stay until then. Dynamic
  /// quantizers of a whole tensor see these tokens together.
  void prepare(std::span<const Linear* const> readers, const float* x, int64_t tokens);

  /// y [tokens][rows] for the tiles that are share `share` of `shares`, from within the pool.
  /// Precondition: `linear` was among the readers of the last prepare().
  void multiply(const Linear& linear, float* y, int share, int shares) const;

 private:
  /// The numbers that a feed quantizes.
  struct Source {
    const Feed* feed = nullptr;     ///< null: the activation as it is
    const float* values = nullptr;  ///< [tokens][count]
    int64_t count = 0;
    std::vector<float> moved;             ///< where values stand, if they were moved
    std::vector<ActivationRange> ranges;  ///< [tokens], where the feed quantizes
  };
  /// What a kernel multiplies by.
  struct Form {
    size_t source = 0;
    bool integer = false;
    uint32_t group = 0;             ///< integer: of the weights
    QuantizedInput quantized;       ///< integer
    std::vector<float> offsets;     ///< integer, asymmetric: [tokens] times the sum of the weights
    const float* values = nullptr;  ///< others: [tokens][count]
    std::vector<float> rounded;     ///< where they stand, if the feed quantizes
  };
  /// What only composed layers need.
  struct Room {
    const Linear* linear = nullptr;
    std::vector<float> narrow;   ///< [tokens][rank]: B xh
    std::vector<float> partial;  ///< [tokens][rows]: one summand, where several have integers
  };

  bool integer(const LinearPart& part) const;
  Form* find_form(const Feed* feed, bool integer, uint32_t group) const;
  Room* find_room(const Linear& linear) const;
  size_t source_of(const Feed* feed, int64_t columns);
  void add_form(const Feed* feed, int64_t columns, bool integer, uint32_t group);
  void add_room(const Linear& linear);
  void collect(const Linear& linear);
  void stage(Source& source, const float* x, int64_t columns, int64_t token) const;
  void convert(Form& form, int64_t token) const;
  void narrow(Room& room, int share, int shares) const;
  void multiply_integers(const LinearPart& part, float* y, int share, int shares) const;
  void add_rows(const float* from, int64_t rows, Slice slice, float* y) const;

  Isa isa_;
  bool exact_;
  ThreadPool* pool_;
  // Kept from call to call for their memory; the first so many are in use.
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<std::unique_ptr<Form>> forms_;
  std::vector<std::unique_ptr<Room>> rooms_;
  size_t source_count_ = 0, form_count_ = 0, room_count_ = 0;
  const float* x_ = nullptr;
  int64_t tokens_ = 0;
};

}  // namespace sqf
