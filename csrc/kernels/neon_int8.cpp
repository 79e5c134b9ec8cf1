#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "kernels/neon_int8.cpp must be compiled for aarch64"
#endif
#include "kernels/table.h"
#include "simd/neon_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_neon_int8 =
    rnnpack::kernels::int8_table<rnnpack::neon::int8>("neon");
