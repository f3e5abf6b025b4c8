// ldmatrix and stmatrix against the manual's figure: of each 8x8 matrix of 16-bit elements, thread
// t holds elements 2 (t % 4) and the next of row t / 4, and with .trans of column t / 4.
#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "tests/cuda_emulator/matrix.hpp"

namespace sqf {
namespace {

/// Rows of four matrices, apart from each other and in no order; element c of row r of matrix m is
/// 0x1000 m + 0x10 r + c.
struct SharedRows {
  alignas(16) std::array<uint8_t, 32 * 48> bytes = {};
  uint8_t* rows[32];

  explicit SharedRows(int matrices) {
    for (int lane = 0; lane < 32; lane++) {
      rows[lane] = lane < matrices * 8 ? &bytes[static_cast<size_t>(lane * 13 % 32 * 48)] : nullptr;
      for (int c = 0; c < 8 && rows[lane] != nullptr; c++) {
        const auto element = static_cast<uint16_t>(lane / 8 << 12 | lane % 8 << 4 | c);
        std::memcpy(rows[lane] + 2 * c, &element, 2);
      }
    }
  }
};

struct HeldBy {
  int lane;
  uint32_t straight, transposed;  // of matrix 0
};

constexpr HeldBy kHeldBy[] = {{0, 0x0001'0000, 0x0010'0000},  {1, 0x0003'0002, 0x0030'0020},
                              {3, 0x0007'0006, 0x0070'0060},  {4, 0x0011'0010, 0x0011'0001},
                              {6, 0x0015'0014, 0x0051'0041},  {17, 0x0043'0042, 0x0034'0024},
                              {28, 0x0071'0070, 0x0017'0007}, {31, 0x0077'0076, 0x0077'0067}};

TEST(LoadMatrix, GivesEachThreadItsPair) {
  for (int matrices : {1, 2, 4})
    for (bool transposed : {false, true}) {
      const SharedRows shared(matrices);
      std::array<uint32_t, 5 * 32> registers;
      registers.fill(0xdeadbeef);
      const auto d = reinterpret_cast<uint32_t(*)[32]>(registers.data());
      ldmatrix(shared.rows, matrices, transposed, d);
      for (int m = 0; m < matrices; m++)
        for (const HeldBy& held : kHeldBy)
          EXPECT_EQ(d[m][held.lane], (transposed ? held.transposed : held.straight) +
                                         static_cast<uint32_t>(m) * 0x1000'1000)
              << matrices << ' ' << m << ' ' << held.lane << ' ' << transposed;
      for (int lane = 0; lane < 32; lane++) EXPECT_EQ(d[matrices][lane], 0xdeadbeef);
    }
}

/// As B of m16n8k16 from a row-major [k][n] array: what .trans is for.
TEST(LoadMatrix, TransposedGivesTheFragmentOfB) {
  const SharedRows shared(2);
  uint32_t d[2][32];
  ldmatrix(shared.rows, 2, true, d);
  for (int lane = 0; lane < 32; lane++)
    for (int i = 0; i < 4; i++) {
      const int k = lane % 4 * 2 + (i & 1) + (i < 2 ? 0 : 8), n = lane >> 2;
      const uint32_t element = d[i / 2][lane] >> (i % 2 * 16) & 0xffff;
      EXPECT_EQ(element, static_cast<uint32_t>(k / 8 << 12 | k % 8 << 4 | n));
    }
}

TEST(StoreMatrix, UndoesTheLoad) {
  for (int matrices : {1, 2, 4})
    for (bool transposed : {false, true}) {
      const SharedRows shared(matrices);
      uint32_t d[4][32] = {};
      ldmatrix(shared.rows, matrices, transposed, d);
      SharedRows stored(matrices);
      stored.bytes.fill(0);
      stmatrix(stored.rows, matrices, transposed, d);
      EXPECT_EQ(stored.bytes, shared.bytes);
    }
}

}  // namespace
}  // namespace sqf
