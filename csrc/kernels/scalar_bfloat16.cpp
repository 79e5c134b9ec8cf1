#if defined(__AVX__)
#error "kernels/scalar_bfloat16.cpp must be compiled for the baseline of the architecture"
#endif
#include "kernels/table.h"
#include "simd/scalar_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_scalar_bfloat16 =
    rnnpack::kernels::bfloat16_table<rnnpack::scalar::bfloat16>("scalar");
