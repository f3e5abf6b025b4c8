// Decode kernels of the widths that are sums of planes, of tables and minifloats. Several planes by
// sixteen tokens do not fit the registers: they go to the kernel for any planes.

#include "cuda/kernels/decode_kernel.cuh"

SQF_DECODE(decode_1_f16_8, 1, affine, false, 1)
SQF_DECODE(decode_1_f16_16, 1, affine, false, 2)
SQF_DECODE(decode_2_f16_8, 2, affine, false, 1)
SQF_DECODE(decode_2_f16_16, 2, affine, false, 2)
SQF_DECODE(decode_3_f16_8, 3, affine, false, 1)
SQF_DECODE(decode_5_f16_8, 5, affine, false, 1)
SQF_DECODE(decode_6_f16_8, 6, affine, false, 1)
SQF_DECODE(decode_7_f16_8, 7, affine, false, 1)
SQF_DECODE(decode_levels4_f16_8, 4, table, false, 1)
SQF_DECODE(decode_levels4_f16_16, 4, table, false, 2)
SQF_DECODE(decode_float4_f16_8, 4, minifloat, false, 1)
SQF_DECODE(decode_float4_f16_16, 4, minifloat, false, 2)
SQF_DECODE(decode_float6_f16_8, 6, minifloat, false, 1)
SQF_DECODE(decode_float8_f16_8, 8, minifloat, false, 1)
SQF_DECODE(decode_float8_f16_16, 8, minifloat, false, 2)
SQF_DECODE(decode_any_f16_8, sqf::kAnyPlanes, affine, false, 1)
SQF_DECODE(decode_any_f16_16, sqf::kAnyPlanes, affine, false, 2)
SQF_DECODE(decode_any_s8_8, sqf::kAnyPlanes, affine, true, 1)
SQF_DECODE(decode_any_s8_16, sqf::kAnyPlanes, affine, true, 2)
