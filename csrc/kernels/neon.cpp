#if !defined(__aarch64__) || !defined(__ARM_NEON)
#error "kernels/neon.cpp must be compiled for aarch64"
#endif
#include "simd/neon.h"
#include "kernels/table.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_neon =
    rnnpack::kernels::full_table<rnnpack::neon::f32, rnnpack::neon::f64>("neon");
