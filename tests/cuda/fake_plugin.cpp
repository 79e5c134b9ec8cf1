// A plugin without a GPU, for tests of the core's side of the interface: it notes what it is given, fails when told to,
// and computes something simple, in memory of the host whichever it is said to be.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>

#include "api/cuda.h"

namespace rnnpack::cuda {

struct packed_cell {
  std::int32_t device;
  cell_weights weights;  // the pointers are not valid any more
};

namespace {

std::mutex lock;
std::map<std::string, std::string> notes;                        // by function, as JSON
std::map<std::string, std::pair<result, std::string>> failures;  // by function: of its next call
int living_cells = 0;
std::atomic<bool> slow = false;

void note(const std::string& function, const std::string& text) {
  const std::scoped_lock locked(lock);
  notes[function] = text;
}

// What the function shall answer in place of working.
std::optional<result> told_to_fail(const std::string& function, failure* why) {
  const std::scoped_lock locked(lock);
  const auto found = failures.find(function);
  if (found == failures.end()) return std::nullopt;
  const auto [ended, text] = found->second;
  failures.erase(found);
  std::memset(why->text, 'x', sizeof(why->text));  // nothing may rely on a zero that nobody wrote
  std::memcpy(why->text, text.data(), std::min(text.size() + 1, sizeof(why->text)));
  return ended;
}

template <class Items, class Text>
std::string list(const Items* items, std::size_t count, Text text) {
  if (items == nullptr) return "null";
  std::ostringstream out;
  for (std::size_t i = 0; i < count; ++i) out << (i == 0 ? "[" : ", ") << text(items[i]);
  return out.str() + (count == 0 ? "[]" : "]");
}

const char* flag(bool value) { return value ? "true" : "false"; }

result count_devices(std::int32_t* count, failure* why) {
  if (const auto ended = told_to_fail("count_devices", why)) return *ended;
  *count = 3;
  return result::ok;
}

result describe_device(std::int32_t device, device_info* info, failure* why) {
  if (const auto ended = told_to_fail("describe_device", why)) return *ended;
  std::memset(info->name, 'G', sizeof(info->name));
  info->major = 9;
  info->minor = device;
  info->multiprocessors = 132;
  info->memory_bytes = std::uint64_t{80} << 30;
  return result::ok;
}

template <class T>
std::string weight_texts(const cell_weights& one) {
  const std::size_t columns = gates_of(one.kind) * one.units;
  const auto values = [](const void* data, std::size_t count) {
    return list(static_cast<const T*>(data), count, [](T value) { return value; });
  };
  std::ostringstream out;
  out << "\"kernel\": " << values(one.kernel, one.input_size * columns)
      << ", \"recurrent_kernel\": " << values(one.recurrent_kernel, one.outputs * columns)
      << ", \"bias\": " << values(one.bias, (one.kind == cell_kind::gru ? 2 : 1) * columns)
      << ", \"peepholes\": " << values(one.peepholes, 3 * one.units)
      << ", \"projection_kernel\": " << values(one.projection_kernel, one.units * one.outputs);
  return out.str();
}

result make_cell(std::int32_t device, const cell_weights* weights, packed_cell** made, failure* why) {
  if (const auto ended = told_to_fail("make_cell", why)) return *ended;
  std::ostringstream out;
  out << "{\"device\": " << device << ", \"kind\": " << static_cast<int>(weights->kind)
      << ", \"format\": " << static_cast<int>(weights->format)
      << ", \"main\": " << static_cast<int>(weights->activations.main)
      << ", \"recurrent\": " << static_cast<int>(weights->activations.recurrent) << ", "
      << (weights->format == number_format::float64 ? weight_texts<double>(*weights) : weight_texts<float>(*weights))
      << "}";
  note("make_cell", out.str());
  *made = new packed_cell{.device = device, .weights = *weights};
  const std::scoped_lock locked(lock);
  ++living_cells;
  return result::ok;
}

void free_cell(packed_cell* cell) {
  delete cell;
  const std::scoped_lock locked(lock);
  --living_cells;
}

std::size_t cell_bytes(const packed_cell* cell) { return 1000 + cell->weights.units; }

std::size_t workspace_bytes(const call* one) { return 256 * one->direction_count; }

std::string text_of(const direction& one) {
  std::ostringstream out;
  const std::size_t states = [&] {
    std::size_t count = 0;
    for (std::size_t i = 0; i < one.cell_count; ++i) count += states_of(one.cells[i]->weights.kind);
    return count;
  }();
  const auto address = [](const void* data) { return reinterpret_cast<std::uintptr_t>(data); };
  out << "{\"units\": " << list(one.cells, one.cell_count, [](const packed_cell* cell) { return cell->weights.units; })
      << ", \"inputs\": [" << address(one.inputs) << ", " << one.inputs_time << ", " << one.inputs_batch << ", "
      << one.inputs_feature << "], \"initial_states\": " << list(one.initial_states, states, address)
      << ", \"final_states\": " << list(one.final_states, states, address) << ", \"outputs\": [" << address(one.outputs)
      << ", " << one.outputs_time << ", " << one.outputs_batch << "], \"go_backwards\": " << flag(one.go_backwards)
      << ", \"turn_outputs\": " << flag(one.turn_outputs) << "}";
  return out.str();
}

std::string text_of(const call& one) {
  std::ostringstream out;
  out << "{\"batch\": " << one.batch << ", \"timesteps\": " << one.timesteps
      << ", \"elements\": " << static_cast<int>(one.elements)
      << ", \"row_splits\": " << list(one.row_splits, one.batch + 1, [](std::int64_t split) { return split; })
      << ", \"masked\": " << flag(one.mask != nullptr) << ", \"mask_strides\": [" << one.mask_time << ", "
      << one.mask_batch << "], \"return_sequences\": " << flag(one.return_sequences)
      << ", \"zero_output_for_mask\": " << flag(one.zero_output_for_mask) << ", \"directions\": "
      << list(one.directions, one.direction_count, [](const direction& way) { return text_of(way); });
  return out.str();
}

// Outputs are the sum of a step's inputs plus the unit's number, -1 at masked steps; final states the first ones
// plus 1.
template <class T>
void compute(const call& one, const direction& way) {
  const cell_weights& first = way.cells[0]->weights;
  const cell_weights& last = way.cells[way.cell_count - 1]->weights;
  const auto* const inputs = static_cast<const T*>(way.inputs);
  auto* const outputs = static_cast<T*>(way.outputs);
  for (std::size_t row = 0; row < one.batch; ++row) {
    const auto b = static_cast<std::ptrdiff_t>(row);
    const std::ptrdiff_t begin = one.row_splits == nullptr ? 0 : one.row_splits[row];
    const std::ptrdiff_t end =
        one.row_splits == nullptr ? static_cast<std::ptrdiff_t>(one.timesteps) : one.row_splits[row + 1];
    for (std::ptrdiff_t t = begin; t < end; ++t) {
      T sum = 0;
      for (std::size_t k = 0; k < first.input_size; ++k)
        sum += inputs[t * way.inputs_time + b * way.inputs_batch + static_cast<std::ptrdiff_t>(k) * way.inputs_feature];
      const bool kept = one.mask == nullptr || one.mask[t * one.mask_time + b * one.mask_batch] != 0;
      T* const to = outputs + (one.return_sequences ? t * way.outputs_time : 0) + b * way.outputs_batch;
      for (std::size_t u = 0; u < last.outputs; ++u) to[u] = kept ? sum + static_cast<T>(u) : T{-1};
    }
  }
  std::size_t state = 0;
  for (std::size_t i = 0; i < way.cell_count; ++i) {
    const cell_weights& cell = way.cells[i]->weights;
    for (std::size_t s = 0; s < states_of(cell.kind); ++s, ++state) {
      const std::size_t count = one.batch * (s == 0 ? cell.outputs : cell.units);
      const void* const from = way.initial_states == nullptr ? nullptr : way.initial_states[state];
      void* const to = way.final_states == nullptr ? nullptr : way.final_states[state];
      for (std::size_t k = 0; to != nullptr && k < count; ++k)
        static_cast<T*>(to)[k] = (from == nullptr ? T{0} : static_cast<const T*>(from)[k]) + 1;
    }
  }
}

result work(const std::string& function, const call* one, const std::string& rest, const interruption* question,
            failure* why) {
  if (const auto ended = told_to_fail(function, why)) return *ended;
  note(function, text_of(*one) + rest + "}");
  for (int i = 0; slow && i < 20'000; ++i) {
    if (!question->keep_going(question->context)) return result::interrupted;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (std::size_t i = 0; i < one->direction_count; ++i)
    (one->elements == element::float64 ? compute<double> : compute<float>)(*one, one->directions[i]);
  return result::ok;
}

result run(const call* one, void* workspace, void* stream, const interruption* question, failure* why) {
  std::ostringstream rest;
  rest << ", \"workspace\": " << reinterpret_cast<std::uintptr_t>(workspace)
       << ", \"stream\": " << reinterpret_cast<std::uintptr_t>(stream);
  return work("run", one, rest.str(), question, why);
}

result run_on_host_arrays(const call* one, const interruption* question, failure* why) {
  return work("run_on_host_arrays", one, "", question, why);
}

std::string numbers(std::initializer_list<std::uintptr_t> values) {
  return list(values.begin(), values.size(), [](std::uintptr_t value) { return value; });
}

std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

result merge(std::int32_t device, merge_mode mode, element type, std::size_t count, const void* a, const void* b,
             void* to, void* stream, failure* why) {
  if (const auto ended = told_to_fail("merge", why)) return *ended;
  note("merge", numbers({static_cast<std::uintptr_t>(device), static_cast<std::uintptr_t>(mode),
                         static_cast<std::uintptr_t>(type), count, number(a), number(b), number(to), number(stream)}));
  return result::ok;
}

result order(std::int32_t device, void* earlier, void* later, failure* why) {
  if (const auto ended = told_to_fail("order", why)) return *ended;
  note("order", numbers({static_cast<std::uintptr_t>(device), number(earlier), number(later)}));
  return result::ok;
}

result allocate(std::int32_t device, std::size_t bytes, void* stream, void** memory, failure* why) {
  if (const auto ended = told_to_fail("allocate", why)) return *ended;
  *memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  note("allocate", numbers({static_cast<std::uintptr_t>(device), bytes, number(stream)}));
  return result::ok;
}

void release(std::int32_t device, void* memory, void* stream) {
  note("release", numbers({static_cast<std::uintptr_t>(device), number(memory), number(stream)}));
  std::free(memory);
}

result copy(std::int32_t device, void* to, const void* from, std::size_t bytes, void* stream, failure* why) {
  if (const auto ended = told_to_fail("copy", why)) return *ended;
  note("copy", numbers({static_cast<std::uintptr_t>(device), number(stream)}));
  std::memcpy(to, from, bytes);
  return result::ok;
}

result owner_of(const void* address, std::int32_t* device, failure* why) {
  if (const auto ended = told_to_fail("owner_of", why)) return *ended;
  *device = number(address) < 4096 ? static_cast<std::int32_t>(number(address)) : -1;
  return result::ok;
}

}  // namespace
}  // namespace rnnpack::cuda

using namespace rnnpack::cuda;

extern "C" {

// RNNPACK_FAKE_PLUGIN makes it one of another version, which says so itself or is seen to be one.
const plugin* rnnpack_cuda_plugin(std::uint32_t version) {
  const char* const given = std::getenv("RNNPACK_FAKE_PLUGIN");
  const std::string_view kind = given == nullptr ? "" : given;
  static plugin functions{.version = interface_version,
                          .count_devices = &count_devices,
                          .describe_device = &describe_device,
                          .make_cell = &make_cell,
                          .free_cell = &free_cell,
                          .cell_bytes = &cell_bytes,
                          .workspace_bytes = &workspace_bytes,
                          .run = &run,
                          .run_on_host_arrays = &run_on_host_arrays,
                          .merge = &merge,
                          .order = &order,
                          .allocate = &allocate,
                          .release = &release,
                          .copy = &copy,
                          .owner_of = &owner_of};
  functions.version = kind == "other" ? interface_version + 1 : interface_version;
  return kind == "refuses" || version != interface_version ? nullptr : &functions;
}

int fake_living_cells() {
  const std::scoped_lock locked(lock);
  return living_cells;
}

// The note of a function's last call; valid until its next.
const char* fake_note(const char* function) {
  const std::scoped_lock locked(lock);
  return notes[function].c_str();
}

void fake_failure(const char* function, int ended, const char* text) {
  const std::scoped_lock locked(lock);
  if (static_cast<result>(ended) == result::ok)
    failures.erase(function);
  else
    failures[function] = {static_cast<result>(ended), text};
}

void fake_slow(int whether) { slow = whether != 0; }
}
