#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__) || \
    !defined(__FMA__)
#error "kernels/avx512_int8_dot.cpp must be compiled for AVX-512 F, BW, DQ and VL, and FMA"
#endif
#include "kernels/table.h"
#include "simd/avx512_products.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_avx512_int8_dot =
    rnnpack::kernels::int8_table<rnnpack::avx512::int8_dot>("avx512_vnni");
