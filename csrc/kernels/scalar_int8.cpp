#if defined(__AVX__)
#error "kernels/scalar_int8.cpp must be compiled for the baseline of the architecture"
#endif
#include "kernels/table.h"
#include "simd/scalar_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_scalar_int8 =
    rnnpack::kernels::int8_table<rnnpack::scalar::int8>("scalar");
