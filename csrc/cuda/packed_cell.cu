#include "cuda/packed_cell.h"

#include <algorithm>
#include <cstring>

#include "cuda/format_list.h"
#include "cuda/pass_list.h"
#include "gemm/bias.h"

namespace rnnpack::cuda {
namespace {

// A grid has at most this many blocks along its second axis, and each computes 8 units of a step.
constexpr std::size_t most_units = 65535 * std::size_t{tile_columns};

// The packed parts of a cell in host memory; addresses are offsets until the whole is copied.
class staging {
 public:
  template <class T>
  T* add(std::size_t count, const void** place) {
    constexpr std::size_t alignment = 256;
    const std::size_t begin = bytes_.size();
    bytes_.resize(begin + (checked_product(count, sizeof(T)) + alignment - 1) / alignment * alignment);
    places_.push_back({.place = place, .offset = begin});
    return reinterpret_cast<T*>(bytes_.data() + begin);
  }

  // Copies everything to the device and turns places into addresses there.
  void move_to(packed_cell& cell) const {
    cell.bytes = bytes_.size();
    cell.memory = take_device_memory(bytes_.size());
    const owned_stream stream = make_stream();
    check(cudaMemcpyAsync(cell.memory.get(), bytes_.data(), bytes_.size(), cudaMemcpyHostToDevice, stream.get()),
          "copying weights to the device");
    check(cudaStreamSynchronize(stream.get()), "copying weights to the device");
    for (const part& one : places_) *one.place = cell.memory.get() + one.offset;
  }

 private:
  struct part {
    const void** place;
    std::size_t offset;
  };
  std::vector<std::byte> bytes_;
  std::vector<part> places_;
};

std::size_t blocks(std::size_t size, std::size_t block) { return (size + block - 1) / block; }

// Columns of `gates` blocks of `units`, of which a pass takes those from first_gate on.
template <class T>
struct keras_matrix {
  const T* values;
  std::size_t rows;
  std::size_t gates;
  std::size_t units;
};

template <class F>
void pack_matrix(const keras_matrix<typename F::sum>& matrix, int first_gate, int gates, staging& to,
                 packed_matrix& packed) {
  using operand = typename F::operand;
  const std::size_t groups = blocks(matrix.units, tile_columns);
  packed.tiles = static_cast<std::int32_t>(groups * gates);
  packed.k_blocks = static_cast<std::int32_t>(blocks(matrix.rows, F::k_block));
  const std::size_t block_values = F::k_block * tile_columns;
  const std::size_t count = checked_product(packed.tiles, packed.k_blocks, block_values);
  auto* const values = to.add<operand>(count, &packed.values);
  std::fill_n(values, count, encode<operand>(typename F::sum(0)));
  for (std::size_t k = 0; k < matrix.rows; ++k) {
    const auto* row = matrix.values + k * matrix.gates * matrix.units;
    for (int gate = 0; gate < gates; ++gate) {
      for (std::size_t unit = 0; unit < matrix.units; ++unit) {
        const std::size_t tile = unit / tile_columns * gates + gate;
        const std::size_t block = tile * packed.k_blocks + k / F::k_block;
        values[block * block_values + F::place(k % F::k_block, unit % tile_columns)] =
            encode<operand>(row[(first_gate + gate) * matrix.units + unit]);
      }
    }
  }
}

// Columns of the pass's gates, tile by tile.
template <class T>
void pack_bias(const std::vector<T>& bias, std::size_t units, int first_gate, int gates, T* to) {
  for (int gate = 0; gate < gates; ++gate)
    for (std::size_t unit = 0; unit < units; ++unit)
      to[(unit / tile_columns * gates + gate) * tile_columns + unit % tile_columns] =
          bias[(first_gate + gate) * units + unit];
}

template <class F, class Pass>
void pack_pass(const cell_weights& weights, staging& to, packed_pass& pass) {
  using sum = typename F::sum;
  const auto values = [](const void* from) { return static_cast<const sum*>(from); };
  const std::size_t gates = gates_of(weights.kind);
  if constexpr (!Pass::takes_inputs) {
    pass.units = weights.outputs;
    pack_matrix<F>({values(weights.projection_kernel), weights.units, 1, weights.outputs}, 0, 1, to, pass.recurrent);
    return;
  }
  pass.units = weights.units;
  const std::size_t padded = blocks(weights.units, tile_columns) * tile_columns;
  pack_matrix<F>({values(weights.kernel), weights.input_size, gates, weights.units}, Pass::first_gate, Pass::gates, to,
                 pass.input);
  pack_matrix<F>({values(weights.recurrent_kernel), weights.outputs, gates, weights.units}, Pass::first_gate,
                 Pass::gates, to, pass.recurrent);
  pack_bias(input_bias(weights.kind, weights.units, values(weights.bias)), weights.units, Pass::first_gate, Pass::gates,
            to.add<sum>(Pass::gates * padded, &pass.bias));
  if constexpr (Pass::separate_candidate)
    std::ranges::copy(candidate_bias(weights.units, values(weights.bias)), to.add<sum>(padded, &pass.candidate_bias));
  if constexpr (Pass::peepholes > 0) {
    sum* const peepholes = to.add<sum>(Pass::peepholes * padded, &pass.peepholes);
    for (int i = 0; i < Pass::peepholes; ++i)
      std::copy_n(values(weights.peepholes) + i * weights.units, weights.units, peepholes + i * padded);
  }
}

void check_size(const char* name, std::size_t size) {
  if (size > most_units)
    throw std::invalid_argument(std::string(name) + ": at most " + std::to_string(most_units) + " on a GPU, got " +
                                std::to_string(size));
}

}  // namespace

std::unique_ptr<packed_cell> pack_cell(int device, const cell_weights& weights) {
  check_size("units", weights.units);
  check_size("projection_units", weights.outputs);
  const current_device here(device);
  const relaxed_capture allowed;
  auto cell = std::make_unique<packed_cell>();
  cell->device = device;
  check(cudaDeviceGetAttribute(&cell->multiprocessors, cudaDevAttrMultiProcessorCount, device),
        "asking for a property");
  cell->kind = weights.kind;
  cell->format = weights.format;
  cell->activations = weights.activations;
  cell->input_size = weights.input_size;
  cell->units = weights.units;
  cell->outputs = weights.outputs;
  cell->passes.resize(passes_of(weights.kind));
  staging parts;
  with_format(weights.format, [&]<class F>() {
    for (std::size_t p = 0; p < cell->passes.size(); ++p)
      with_pass(weights.kind, p, [&]<class Pass>() { pack_pass<F, Pass>(weights, parts, cell->passes[p]); });
  });
  parts.move_to(*cell);
  return cell;
}

}  // namespace rnnpack::cuda
