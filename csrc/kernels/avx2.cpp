#if !defined(__AVX2__) || !defined(__FMA__) || defined(__AVX512F__)
#error "kernels/avx2.cpp must be compiled for AVX2 and FMA, and nothing beyond"
#endif
#include "simd/avx2.h"
#include "kernels/table.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_avx2 =
    rnnpack::kernels::full_table<rnnpack::avx2::f32, rnnpack::avx2::f64>("avx2");
