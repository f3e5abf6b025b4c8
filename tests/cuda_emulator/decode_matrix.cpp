#include <algorithm>
#include <cstring>

#include "tests/cuda_emulator/access.hpp"
#include "tests/cuda_emulator/block.hpp"
#include "tests/cuda_emulator/decoder.hpp"
#include "tests/cuda_emulator/lanes.hpp"
#include "tests/cuda_emulator/matrix.hpp"

// mma, ldmatrix and stmatrix: registers and addresses here, the mathematics in matrix.hpp.

namespace sqf {
namespace {

constexpr int kMostRegisters = 8;
using Fragment = uint32_t[kMostRegisters][32];

void gather(Warp& warp, const uint32_t* slots, int count, Fragment& out) {
  for (int i = 0; i < count; i++) std::memcpy(out[i], warp.slot(slots[i]), sizeof(out[i]));
}

bool all_lanes(Warp& warp) {
  if (warp.active == 0xffffffff) return true;
  warp.fail(719, static_cast<unsigned>(std::countr_one(warp.active)),
            "a matrix instruction that not all 32 lanes run");
  return false;
}

void run_mma(Warp& warp, const Op& op) {
  if (!all_lanes(warp)) return;
  const MatrixInstruction& matrix = *op.matrix;
  Fragment a, b, c, d;
  gather(warp, op.src.data(), matrix.a, a);
  gather(warp, op.src.data() + matrix.a, matrix.b, b);
  gather(warp, op.src.data() + matrix.a + matrix.b, matrix.c, c);
  matrix.run(a, b, c, d);
  for (int i = 0; i < matrix.d; i++) {
    std::memcpy(warp.slot(op.dst[static_cast<size_t>(i)]), d[i], sizeof(d[i]));
  }
  warp.block->counters.matrix_products++;
}

bool product(Decoder& d) {
  std::string suffix;
  if (!d.take("sync") || !d.take("aligned")) return d.fail(".sync.aligned is missing");
  while (!d.first().empty()) suffix += (suffix.empty() ? "" : ".") + d.take_first();
  const MatrixInstruction* const found = find_mma(suffix);
  if (found == nullptr) return d.fail("unknown matrix product '" + suffix + "'");
  if (std::max({found->a, found->b, found->c, found->d}) > kMostRegisters) {
    return d.fail("too large a fragment");
  }
  d.op.matrix = found;
  if (!d.need_operands(4, 4)) return true;
  const int counts[4] = {found->d, found->a, found->b, found->c};
  for (size_t i = 0; i < 4; i++) {
    const PtxOperand& list = d.operand(i);
    const bool vector = list.kind == PtxOperand::Kind::vector;
    const int given = vector ? static_cast<int>(list.elements.size()) : 1;
    if (given != counts[i]) return d.fail("a fragment of another size");
  }
  d.vector_results(0, Type::b32);
  for (size_t i = 1; i < 4; i++) d.vector_sources(i, Type::b32);
  d.op.run = run_mma;
  return true;
}

struct Rows {
  uint8_t bytes[32][16];
  uint8_t* of[32];
};

/// The addresses of op.count matrices, checked as the accesses of 16 bytes that they are.
bool rows_of(Warp& warp, const Op& op, Addresses& addresses) {
  if (!all_lanes(warp)) return false;
  addresses = addresses_of(warp, op);
  const unsigned lanes_used = 8u * op.count;
  for (unsigned lane = 0; lane < lanes_used; lane++) {
    const Place place = place_of(op.space, addresses.of[lane]);
    if (place.space != Space::shared) {
      warp.fail(700, lane, "a matrix row that is not in shared memory");
      return false;
    }
    addresses.of[lane] = place.address;
    if (!check_shared(warp, lane, place.address, 16, 16)) return false;
  }
  count_shared(warp, addresses, lanes_used == 32 ? 0xffffffff : (1u << lanes_used) - 1, 16);
  return true;
}

void run_load_matrix(Warp& warp, const Op& op) {
  Addresses addresses{};
  if (!rows_of(warp, op, addresses)) return;
  Rows rows{};
  for (unsigned lane = 0; lane < 32; lane++) rows.of[lane] = rows.bytes[lane];
  for (unsigned lane = 0; lane < 8u * op.count; lane++) {
    if (!load(warp, lane, {Space::shared, addresses.of[lane]}, 16, rows.bytes[lane])) return;
  }
  Fragment out;
  ldmatrix(rows.of, op.count, op.transposed, out);
  for (unsigned i = 0; i < op.count; i++) {
    std::memcpy(warp.slot(op.dst[i]), out[i], sizeof(out[i]));
  }
}

void run_store_matrix(Warp& warp, const Op& op) {
  Addresses addresses{};
  if (!rows_of(warp, op, addresses)) return;
  Rows rows{};
  for (unsigned lane = 0; lane < 32; lane++) rows.of[lane] = rows.bytes[lane];
  Fragment in;
  gather(warp, op.src.data() + 1, op.count, in);
  stmatrix(rows.of, op.count, op.transposed, in);
  for (unsigned lane = 0; lane < 8u * op.count; lane++) {
    if (!store(warp, lane, {Space::shared, addresses.of[lane]}, 16, rows.bytes[lane])) return;
  }
}

bool transfer(Decoder& d, bool stores) {
  if (!d.take("sync") || !d.take("aligned")) return d.fail(".sync.aligned is missing");
  if (!d.take("m8n8")) return d.fail(".m8n8 is missing");
  d.op.count = d.take("x1") ? 1 : d.take("x2") ? 2 : d.take("x4") ? 4 : 0;
  if (d.op.count == 0) return d.fail("one of .x1 .x2 .x4 is missing");
  d.op.transposed = d.take("trans");
  const Space space = d.take("shared") || d.take("shared::cta") ? Space::shared : Space::generic;
  const Type type = d.take_type();
  if (type != Type::b16) return d.refuse(type);
  if (!d.need_operands(2, 2)) return true;
  const PtxOperand& list = d.operand(stores ? 1 : 0);
  const size_t given = list.kind == PtxOperand::Kind::vector ? list.elements.size() : 1;
  if (given != d.op.count) return d.fail("another number of registers");
  if (!stores) d.vector_results(0, Type::b32);
  d.address(stores ? 0 : 1, space);
  if (stores) d.vector_sources(1, Type::b32);
  d.op.run = stores ? run_store_matrix : run_load_matrix;
  return true;
}

}  // namespace

bool decode_matrix(Decoder& d) {
  const std::string& name = d.in().opcode;
  d.op.op_class = OpClass::matrix;
  if (name == "mma") return product(d);
  if (name == "ldmatrix") return transfer(d, false);
  if (name == "stmatrix") return transfer(d, true);
  return false;
}

}  // namespace sqf
