#include "dispatch/dispatch.h"

#include <array>
#include <stdexcept>
#include <string>

extern "C" {
#if defined(__x86_64__)
extern const rnnpack::kernel_table rnnpack_kernels_avx512;
extern const rnnpack::kernel_table rnnpack_kernels_avx512_bfloat16;
extern const rnnpack::kernel_table rnnpack_kernels_avx512_bfloat16_dot;
extern const rnnpack::kernel_table rnnpack_kernels_avx512_int8;
extern const rnnpack::kernel_table rnnpack_kernels_avx512_int8_dot;
extern const rnnpack::kernel_table rnnpack_kernels_avx2;
extern const rnnpack::kernel_table rnnpack_kernels_avx2_bfloat16;
extern const rnnpack::kernel_table rnnpack_kernels_avx2_int8;
#endif
#if defined(__aarch64__)
extern const rnnpack::kernel_table rnnpack_kernels_neon;
extern const rnnpack::kernel_table rnnpack_kernels_neon_bfloat16;
extern const rnnpack::kernel_table rnnpack_kernels_neon_int8;
#endif
extern const rnnpack::kernel_table rnnpack_kernels_scalar;
extern const rnnpack::kernel_table rnnpack_kernels_scalar_bfloat16;
extern const rnnpack::kernel_table rnnpack_kernels_scalar_int8;
}

namespace rnnpack {
namespace {

constexpr std::size_t precisions = 3;

// What one instruction set adds for each precision; null where it adds nothing to those below it.
using level = std::array<const kernel_table*, precisions>;

// Instruction sets of this machine, the best first; each includes those after it.
std::vector<level> find_levels() {
  std::vector<level> levels;
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  if (vnni && __builtin_cpu_supports("avx512bf16"))
    levels.push_back({nullptr, &rnnpack_kernels_avx512_bfloat16_dot, nullptr});
  if (vnni) levels.push_back({nullptr, nullptr, &rnnpack_kernels_avx512_int8_dot});
  if (avx512)
    levels.push_back({&rnnpack_kernels_avx512, &rnnpack_kernels_avx512_bfloat16, &rnnpack_kernels_avx512_int8});
  if (avx2) levels.push_back({&rnnpack_kernels_avx2, &rnnpack_kernels_avx2_bfloat16, &rnnpack_kernels_avx2_int8});
#endif
#if defined(__aarch64__)  // NEON is part of every aarch64 processor
  levels.push_back({&rnnpack_kernels_neon, &rnnpack_kernels_neon_bfloat16, &rnnpack_kernels_neon_int8});
#endif
  levels.push_back({&rnnpack_kernels_scalar, &rnnpack_kernels_scalar_bfloat16, &rnnpack_kernels_scalar_int8});
  return levels;
}

const std::vector<level>& levels() {
  static const std::vector<level> found = find_levels();
  return found;
}

std::string_view name_of(const level& one) {
  for (const kernel_table* table : one)
    if (table != nullptr) return table->isa;
  return {};
}

std::vector<const kernel_table*> find_available(std::size_t kind) {
  std::vector<const kernel_table*> tables;
  for (const level& one : levels())
    if (one.at(kind) != nullptr) tables.push_back(one.at(kind));
  return tables;
}

}  // namespace

const std::vector<const kernel_table*>& available_kernels(precision kind) {
  static const std::array tables{find_available(0), find_available(1), find_available(2)};
  return tables.at(static_cast<std::size_t>(kind));
}

const kernel_table& select_kernels(std::string_view isa, precision kind) {
  bool allowed = isa.empty();
  std::string names;
  for (const level& one : levels()) {
    const std::string_view name = name_of(one);
    allowed = allowed || name == isa;
    const kernel_table* table = one.at(static_cast<std::size_t>(kind));
    if (allowed && table != nullptr) return *table;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw std::invalid_argument("isa (RNNPACK_ISA): expected an instruction set this machine and build support (" +
                              names + "), got '" + std::string(isa) + "'");
}

}  // namespace rnnpack
