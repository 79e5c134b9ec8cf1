// The names by which Python calls the CUDA plugin's enumerations.
#pragma once

#include "api/cuda.h"
#include "bindings/names.h"

namespace rnnpack::bindings {

inline const name_list<cuda::number_format>& formats() {
  static const name_list<cuda::number_format> names{{"float32", cuda::number_format::float32},
                                                    {"tf32", cuda::number_format::tfloat32},
                                                    {"bfloat16", cuda::number_format::bfloat16},
                                                    {"float16", cuda::number_format::float16},
                                                    {"float64", cuda::number_format::float64}};
  return names;
}

inline const name_list<cuda::element>& elements() {
  static const name_list<cuda::element> names{{"float32", cuda::element::float32},
                                              {"float64", cuda::element::float64},
                                              {"bfloat16", cuda::element::bfloat16},
                                              {"float16", cuda::element::float16}};
  return names;
}

inline const name_list<cuda::merge_mode>& merge_modes() {
  static const name_list<cuda::merge_mode> names{
      {"sum", cuda::merge_mode::sum}, {"mul", cuda::merge_mode::mul}, {"ave", cuda::merge_mode::ave}};
  return names;
}

}  // namespace rnnpack::bindings
