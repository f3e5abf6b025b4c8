#pragma once

// A kernel as the emulator runs it: operations with a function each and operands as places in a
// warp's register file.
//
// A register file is an array of slots of 32 words, one word per lane; a 64-bit register has two
// adjacent slots that hold 32 values of 64 bits; a predicate is one word, a bit per lane. Slot 0 is
// where results nobody wants go. Constants and special registers are slots as well, filled when the
// warp starts.

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/cuda_emulator/number.hpp"
#include "tests/cuda_emulator/types.hpp"

namespace sqf {

class Warp;
struct Op;
struct MatrixInstruction;
using Run = void (*)(Warp& warp, const Op& op);

enum class OpClass : uint8_t {
  integer,
  real,
  half,
  convert,
  move,
  compare,
  global,
  shared,
  local,
  parameter,
  atomic,
  copy,
  shuffle,
  matrix,
  control,
  barrier,
  count_,
};
constexpr std::array<std::string_view, static_cast<size_t>(OpClass::count_)> kOpClassNames = {
    "integer", "float",     "half",   "convert", "move",    "compare", "global",  "shared",
    "local",   "parameter", "atomic", "copy",    "shuffle", "matrix",  "control", "barrier"};

constexpr uint32_t kNowhere = 0xffffffff;

/// How undefined register contents travel: refused, copied along, or looked after by the operation
/// itself.
enum class Undefined : uint8_t { refused, copied, own };

struct Op {
  Run run = nullptr;
  OpClass op_class = OpClass::integer;
  Undefined undefined = Undefined::refused;
  bool guarded = false, guard_negated = false;
  bool flush = false, saturate = false, relu = false, nan = false;  // .ftz .sat .relu .NaN
  bool transposed = false, wide_address = true, wide_result = false, wide_source = false,
       low_16 = false;
  Space space = Space::generic;
  Type type = Type::none, from = Type::none;
  Rounding rounding = Rounding::nearest_even;
  uint8_t mode = 0;   // what the family says: comparison, shuffle kind, atomic operation
  uint8_t logic = 0;  // how a predicate joins a comparison
  uint8_t count = 1;  // elements of a vector, matrices of an ldmatrix
  uint8_t dst_count = 0, src_count = 0;
  uint32_t negated = 0;  // bit i: source i is !p
  uint32_t guard = 0;
  std::array<uint32_t, 8> dst{};
  std::array<uint32_t, 20> src{};
  int64_t offset = 0;  // of an address; also other constants of the operation
  uint32_t target = 0, reconverge = kNowhere;
  const MatrixInstruction* matrix = nullptr;
  uint32_t text = 0;  // index in Kernel::texts
};

struct Constant {
  uint32_t slot;
  uint64_t bits;
  int bytes;
};

enum class Special : uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  laneid,
  warpid,
  nwarpid,
  smid,
  nsmid,
  gridid,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  dynamic_smem_size,
  total_smem_size,
  clock,
  clock64,
};

struct SpecialPlace {
  uint32_t slot;
  Special special;
};

struct KernelParameter {
  int64_t offset, bytes;
};

struct Kernel {
  std::string name;
  std::vector<Op> ops;
  std::vector<std::string> texts;
  std::vector<std::vector<uint32_t>> branch_tables;
  std::vector<Constant> constants;
  std::vector<SpecialPlace> specials;
  std::vector<KernelParameter> parameters;
  uint32_t slots = 2;
  int64_t parameter_bytes = 0;
  int64_t static_shared_bytes = 0;
  int64_t local_bytes = 0;
  int registers = 0;
  int max_threads = 1024;
  std::array<int, 3> required{};
};

}  // namespace sqf
