// A plugin without a GPU, which does as tests tell it and counts: for what neither a GPU nor the emulator can show.
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "api/cuda.h"

using namespace rnnpack;
using cuda::result;

// What tests read and write, with the same layout in fake_plugin.py.
struct settings {
  std::uint32_t version = cuda::interface_version;
  std::int32_t refuses_version = 0;
  std::int32_t next = 0;           // a result, of every function that has one
  std::int32_t interruptible = 0;  // calls go on until they are interrupted
  std::int32_t milliseconds = 0;   // that calls and freeing take
  std::int32_t names_nothing = 0;  // errors come without a text
  std::uint64_t workspace = 0;
  std::atomic<std::int32_t> cells = 0;   // that are alive
  std::atomic<std::int32_t> inside = 0;  // threads that are in the plugin
  std::atomic<std::int32_t> most_inside = 0;
  std::atomic<std::int32_t> orders = 0;
};

extern "C" {
__attribute__((visibility("default"))) settings fake_settings{};
}

namespace {

settings& told() { return fake_settings; }

// A thread's stay in the plugin.
class stay {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  stay() {
    const std::int32_t now = ++told().inside;
    std::int32_t most = told().most_inside;
    while (now > most && !told().most_inside.compare_exchange_weak(most, now)) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(told().milliseconds));
  }
  ~stay() { --told().inside; }
  stay(const stay&) = delete;
  stay& operator=(const stay&) = delete;
};

result answer(cuda::failure* why) {
  const stay here;
  if (told().next != 0 && told().names_nothing == 0)
    std::strncpy(why->text, "as \xc3\xa4 test told \xff", sizeof(why->text) - 1);
  return static_cast<result>(told().next);
}

result answer(const interruption* question, cuda::failure* why) {
  while (told().interruptible != 0) {
    if (!question->keep_going(question->context)) return result::interrupted;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return answer(why);
}

result count_devices(std::int32_t* count, cuda::failure* why) {
  *count = 2;
  return answer(why);
}

result describe_device(std::int32_t, cuda::device_info* info, cuda::failure* why) {
  std::memset(info->name, 'x', sizeof(info->name));  // and no end
  info->major = 9;
  return answer(why);
}

result make_cell(std::int32_t, const cuda::cell_weights*, cuda::packed_cell** made, cuda::failure* why) {
  const result ended = answer(why);
  if (ended != result::ok) return ended;
  ++told().cells;
  *made = reinterpret_cast<cuda::packed_cell*>(&told());
  return ended;
}

void free_cell(cuda::packed_cell*) {
  const stay here;
  --told().cells;
}

std::size_t cell_bytes(const cuda::packed_cell*) { return 1; }

std::size_t workspace_bytes(const cuda::call*) { return told().workspace; }

result run(const cuda::call*, void*, void*, const interruption* question, cuda::failure* why) {
  return answer(question, why);
}

result run_on_host_arrays(const cuda::call*, const interruption* question, cuda::failure* why) {
  return answer(question, why);
}

result merge(std::int32_t, cuda::merge_mode, cuda::element, std::size_t, const void*, const void*, void*, void*,
             cuda::failure* why) {
  return answer(why);
}

result order(std::int32_t, void*, void*, cuda::failure* why) {
  ++told().orders;
  return answer(why);
}

result allocate(std::int32_t, std::size_t, void*, void** memory, cuda::failure* why) {
  *memory = &told();
  return answer(why);
}

void release(std::int32_t, void*, void*) {}

result copy(std::int32_t, void*, const void*, std::size_t, void*, cuda::failure* why) { return answer(why); }

result owner_of(const void*, std::int32_t* device, cuda::failure* why) {
  *device = 0;
  return answer(why);
}

cuda::plugin functions{.version = cuda::interface_version,
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

}  // namespace

extern "C" __attribute__((visibility("default"))) const cuda::plugin* rnnpack_cuda_plugin(std::uint32_t) {
  functions.version = told().version;
  return told().refuses_version != 0 ? nullptr : &functions;
}
