#pragma once
// The mma instructions that are emulated, and that record.cu runs on a real device: kernel name,
// suffix after "mma.sync.aligned.", 32-bit registers per thread of a, b, and of c and d. The first
// ones run on every device of compute capability 8.0, the FP8 ones from 8.9 on. Plain C++, also for
// nvcc; its macros are the only way to give asm() a literal.

#define SQF_MMA_LIST(ENTRY)                                                      \
  ENTRY(k8_f16_f16_f16, "m16n8k8.row.col.f16.f16.f16.f16", 2, 1, 2)              \
  ENTRY(k16_f16_f16_f16, "m16n8k16.row.col.f16.f16.f16.f16", 4, 2, 2)            \
  ENTRY(k8_f16_f16_f32, "m16n8k8.row.col.f32.f16.f16.f32", 2, 1, 4)              \
  ENTRY(k16_f16_f16_f32, "m16n8k16.row.col.f32.f16.f16.f32", 4, 2, 4)            \
  ENTRY(k8_bf16_bf16_f32, "m16n8k8.row.col.f32.bf16.bf16.f32", 2, 1, 4)          \
  ENTRY(k16_bf16_bf16_f32, "m16n8k16.row.col.f32.bf16.bf16.f32", 4, 2, 4)        \
  ENTRY(k4_tf32_tf32_f32, "m16n8k4.row.col.f32.tf32.tf32.f32", 2, 1, 4)          \
  ENTRY(k8_tf32_tf32_f32, "m16n8k8.row.col.f32.tf32.tf32.f32", 4, 2, 4)          \
  ENTRY(k16_s8_s8_s32, "m16n8k16.row.col.s32.s8.s8.s32", 2, 1, 4)                \
  ENTRY(k16_s8_u8_s32, "m16n8k16.row.col.s32.s8.u8.s32", 2, 1, 4)                \
  ENTRY(k16_u8_s8_s32, "m16n8k16.row.col.s32.u8.s8.s32", 2, 1, 4)                \
  ENTRY(k16_u8_u8_s32, "m16n8k16.row.col.s32.u8.u8.s32", 2, 1, 4)                \
  ENTRY(k16_s8_s8_s32_sat, "m16n8k16.row.col.satfinite.s32.s8.s8.s32", 2, 1, 4)  \
  ENTRY(k16_s8_u8_s32_sat, "m16n8k16.row.col.satfinite.s32.s8.u8.s32", 2, 1, 4)  \
  ENTRY(k16_u8_s8_s32_sat, "m16n8k16.row.col.satfinite.s32.u8.s8.s32", 2, 1, 4)  \
  ENTRY(k16_u8_u8_s32_sat, "m16n8k16.row.col.satfinite.s32.u8.u8.s32", 2, 1, 4)  \
  ENTRY(k32_s8_s8_s32, "m16n8k32.row.col.s32.s8.s8.s32", 4, 2, 4)                \
  ENTRY(k32_s8_u8_s32, "m16n8k32.row.col.s32.s8.u8.s32", 4, 2, 4)                \
  ENTRY(k32_u8_s8_s32, "m16n8k32.row.col.s32.u8.s8.s32", 4, 2, 4)                \
  ENTRY(k32_u8_u8_s32, "m16n8k32.row.col.s32.u8.u8.s32", 4, 2, 4)                \
  ENTRY(k32_s8_s8_s32_sat, "m16n8k32.row.col.satfinite.s32.s8.s8.s32", 4, 2, 4)  \
  ENTRY(k32_s8_u8_s32_sat, "m16n8k32.row.col.satfinite.s32.s8.u8.s32", 4, 2, 4)  \
  ENTRY(k32_u8_s8_s32_sat, "m16n8k32.row.col.satfinite.s32.u8.s8.s32", 4, 2, 4)  \
  ENTRY(k32_u8_u8_s32_sat, "m16n8k32.row.col.satfinite.s32.u8.u8.s32", 4, 2, 4)  \
  ENTRY(k32_s4_s4_s32, "m16n8k32.row.col.s32.s4.s4.s32", 2, 1, 4)                \
  ENTRY(k32_s4_u4_s32, "m16n8k32.row.col.s32.s4.u4.s32", 2, 1, 4)                \
  ENTRY(k32_u4_s4_s32, "m16n8k32.row.col.s32.u4.s4.s32", 2, 1, 4)                \
  ENTRY(k32_u4_u4_s32, "m16n8k32.row.col.s32.u4.u4.s32", 2, 1, 4)                \
  ENTRY(k32_s4_s4_s32_sat, "m16n8k32.row.col.satfinite.s32.s4.s4.s32", 2, 1, 4)  \
  ENTRY(k32_s4_u4_s32_sat, "m16n8k32.row.col.satfinite.s32.s4.u4.s32", 2, 1, 4)  \
  ENTRY(k32_u4_s4_s32_sat, "m16n8k32.row.col.satfinite.s32.u4.s4.s32", 2, 1, 4)  \
  ENTRY(k32_u4_u4_s32_sat, "m16n8k32.row.col.satfinite.s32.u4.u4.s32", 2, 1, 4)  \
  ENTRY(k64_s4_s4_s32, "m16n8k64.row.col.s32.s4.s4.s32", 4, 2, 4)                \
  ENTRY(k64_s4_u4_s32, "m16n8k64.row.col.s32.s4.u4.s32", 4, 2, 4)                \
  ENTRY(k64_u4_s4_s32, "m16n8k64.row.col.s32.u4.s4.s32", 4, 2, 4)                \
  ENTRY(k64_u4_u4_s32, "m16n8k64.row.col.s32.u4.u4.s32", 4, 2, 4)                \
  ENTRY(k64_s4_s4_s32_sat, "m16n8k64.row.col.satfinite.s32.s4.s4.s32", 4, 2, 4)  \
  ENTRY(k64_s4_u4_s32_sat, "m16n8k64.row.col.satfinite.s32.s4.u4.s32", 4, 2, 4)  \
  ENTRY(k64_u4_s4_s32_sat, "m16n8k64.row.col.satfinite.s32.u4.s4.s32", 4, 2, 4)  \
  ENTRY(k64_u4_u4_s32_sat, "m16n8k64.row.col.satfinite.s32.u4.u4.s32", 4, 2, 4)  \
  ENTRY(k128_b1_b1_s32_xor, "m16n8k128.row.col.s32.b1.b1.s32.xor.popc", 2, 1, 4) \
  ENTRY(k128_b1_b1_s32_and, "m16n8k128.row.col.s32.b1.b1.s32.and.popc", 2, 1, 4) \
  ENTRY(k256_b1_b1_s32_xor, "m16n8k256.row.col.s32.b1.b1.s32.xor.popc", 4, 2, 4) \
  ENTRY(k256_b1_b1_s32_and, "m16n8k256.row.col.s32.b1.b1.s32.and.popc", 4, 2, 4)

#define SQF_MMA_LIST_FP8(ENTRY)                                           \
  ENTRY(k32_e4m3_e4m3_f32, "m16n8k32.row.col.f32.e4m3.e4m3.f32", 4, 2, 4) \
  ENTRY(k32_e4m3_e5m2_f32, "m16n8k32.row.col.f32.e4m3.e5m2.f32", 4, 2, 4) \
  ENTRY(k32_e5m2_e4m3_f32, "m16n8k32.row.col.f32.e5m2.e4m3.f32", 4, 2, 4) \
  ENTRY(k32_e5m2_e5m2_f32, "m16n8k32.row.col.f32.e5m2.e5m2.f32", 4, 2, 4)

// Kernel name, suffix after "ldmatrix.sync.aligned.m8n8." with its operands but the address, number
// of matrices.
#define SQF_LDMATRIX_LIST(ENTRY)                             \
  ENTRY(ldmatrix_x1, "x1.shared.b16 {%0}", 1)                \
  ENTRY(ldmatrix_x2, "x2.shared.b16 {%0,%1}", 2)             \
  ENTRY(ldmatrix_x4, "x4.shared.b16 {%0,%1,%2,%3}", 4)       \
  ENTRY(ldmatrix_x1_trans, "x1.trans.shared.b16 {%0}", 1)    \
  ENTRY(ldmatrix_x2_trans, "x2.trans.shared.b16 {%0,%1}", 2) \
  ENTRY(ldmatrix_x4_trans, "x4.trans.shared.b16 {%0,%1,%2,%3}", 4)

// The same of "stmatrix.sync.aligned.m8n8.", with all its operands.
#define SQF_STMATRIX_LIST(ENTRY)                                   \
  ENTRY(stmatrix_x1, "x1.shared.b16 [%0], {%1}", 1)                \
  ENTRY(stmatrix_x2, "x2.shared.b16 [%0], {%1,%2}", 2)             \
  ENTRY(stmatrix_x4, "x4.shared.b16 [%0], {%1,%2,%3,%4}", 4)       \
  ENTRY(stmatrix_x1_trans, "x1.trans.shared.b16 [%0], {%1}", 1)    \
  ENTRY(stmatrix_x2_trans, "x2.trans.shared.b16 [%0], {%1,%2}", 2) \
  ENTRY(stmatrix_x4_trans, "x4.trans.shared.b16 [%0], {%1,%2,%3,%4}", 4)
