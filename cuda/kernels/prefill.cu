// Prefill kernels of the widths that most weights have.

#include "cuda/kernels/prefill_kernel.cuh"

SQF_PREFILL(prefill_4_f16_64, 4, affine, false, 4)
SQF_PREFILL(prefill_4_f16_128, 4, affine, false, 8)
SQF_PREFILL(prefill_8_f16_64, 8, affine, false, 4)
SQF_PREFILL(prefill_8_f16_128, 8, affine, false, 8)
SQF_PREFILL(prefill_real_f16_64, 16, f16, false, 4)
SQF_PREFILL(prefill_real_f16_128, 16, f16, false, 8)
SQF_PREFILL(prefill_4_s8_64, 4, affine, true, 4)
SQF_PREFILL(prefill_4_s8_128, 4, affine, true, 8)
SQF_PREFILL(prefill_8_s8_64, 8, affine, true, 4)
SQF_PREFILL(prefill_8_s8_128, 8, affine, true, 8)
