#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512DQ__) || !defined(__AVX512VL__) || \
    !defined(__FMA__)
#error "kernels/avx512.cpp must be compiled for AVX-512 F, BW, DQ and VL, and FMA"
#endif
#include "simd/avx512.h"
#include "kernels/table.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_avx512 =
    rnnpack::kernels::full_table<rnnpack::avx512::f32, rnnpack::avx512::f64>("avx512");
