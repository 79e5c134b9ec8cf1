#if !defined(__AVX2__) || !defined(__FMA__) || defined(__AVX512F__)
#error "kernels/avx2_int8.cpp must be compiled for AVX2 and FMA, and nothing beyond"
#endif
#include "kernels/table.h"
#include "simd/avx2_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_avx2_int8 =
    rnnpack::kernels::int8_table<rnnpack::avx2::int8>("avx2");
