// Decode kernels of the widths that most weights have.

#include "cuda/kernels/decode_kernel.cuh"

SQF_DECODE(decode_4_f16_8, 4, affine, false, 1)
SQF_DECODE(decode_4_f16_16, 4, affine, false, 2)
SQF_DECODE(decode_8_f16_8, 8, affine, false, 1)
SQF_DECODE(decode_8_f16_16, 8, affine, false, 2)
SQF_DECODE(decode_4_s8_8, 4, affine, true, 1)
SQF_DECODE(decode_4_s8_16, 4, affine, true, 2)
SQF_DECODE(decode_8_s8_8, 8, affine, true, 1)
SQF_DECODE(decode_8_s8_16, 8, affine, true, 2)
SQF_DECODE(decode_real_f16_8, 16, affine, false, 1)
SQF_DECODE(decode_real_f16_16, 16, affine, false, 2)
