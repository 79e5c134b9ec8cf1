#if defined(__AVX__)
#error "kernels/scalar.cpp must be compiled for the baseline of the architecture"
#endif
#include "simd/scalar.h"
#include "kernels/table.h"

extern "C" constinit const rnnpack::kernel_table rnnpack_kernels_scalar =
    rnnpack::kernels::full_table<rnnpack::scalar::f32, rnnpack::scalar::f64>("scalar");
