#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "kernels/neon_bfloat16.cpp must be compiled for aarch64"
#endif
#include "kernels/table.h"
#include "simd/neon_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_neon_bfloat16 =
    rnnpack::kernels::bfloat16_table<rnnpack::neon::bfloat16>("neon");
