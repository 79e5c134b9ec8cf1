#include <atomic>
#include <memory>
#include <variant>

#include "bindings/arguments.h"
#include "bindings/epoch.h"
#include "bindings/fast_array.h"
#include "bindings/interpreter_lock.h"
#include "bindings/register.h"
#include "bindings/slots.h"
#include "bindings/watched_lists.h"
#include "sequence/stream.h"

namespace rnnpack::bindings {
namespace {

// Steps and changes of states exclude each other: the engine's memory is shared by all of them.
class exclusive {  // NOLINT(*-special-member-functions): neither copied nor moved
 public:
  explicit exclusive(std::atomic<bool>& busy) : busy_(busy) {
    if (busy.exchange(true, std::memory_order_acquire))
      throw std::runtime_error("stream: another thread is using it; streams are for one thread at a time");
  }
  ~exclusive() { busy_.store(false, std::memory_order_release); }
  exclusive(const exclusive&) = delete;
  exclusive& operator=(const exclusive&) = delete;

 private:
  std::atomic<bool>& busy_;
};

template <class T>
struct stream_of {
  cell_objects objects;
  std::vector<const packed_cell<T>*> cells;
  sequence::stream<T> engine;

  stream_of(cell_objects held, std::size_t batch)
      : objects(std::move(held)), cells(unwrap<T>(objects)), engine(cells, batch) {}

  Py_ssize_t batch() const { return static_cast<Py_ssize_t>(engine.batch()); }
  Py_ssize_t width() const { return static_cast<Py_ssize_t>(cells.back()->outputs()); }  // of the outputs

  py::object step(PyObject* inputs, PyObject* out) {
    const auto* from = plain_array<T>(inputs, 2);
    if (from == nullptr) return py::none();
    const auto features = static_cast<Py_ssize_t>(cells.front()->input_size());
    if (from->dimensions[0] != batch() || from->dimensions[1] != features)
      throw py::value_error("inputs: expected shape " + text(batch(), features) + ", got " + text(*from));
    py::object outputs = out == Py_None ? new_array<T>({batch(), width()}) : checked_out(out, *from);
    const auto* to = py::detail::array_proxy(outputs.ptr());
    constexpr auto item = static_cast<Py_ssize_t>(sizeof(T));
    const auto run = [&] {
      engine.step(reinterpret_cast<const T*>(from->data), from->strides[0] / item, reinterpret_cast<T*>(to->data),
                  to->strides[0] / item);
    };
    if (small()) {
      run();
    } else {
      const auto held = py::reinterpret_borrow<py::object>(inputs);
      const lock_released released;
      run();
    }
    return outputs;
  }

  py::list states() {
    std::vector<T*> data;
    py::list arrays;
    for (const packed_cell<T>* cell : cells) {
      for (std::size_t i = 0; i < cell->states(); ++i) {
        py::array_t<T> array({batch(), static_cast<Py_ssize_t>(cell->state_size(i))});
        data.push_back(array.mutable_data());
        arrays.append(std::move(array));
      }
    }
    engine.save(data.data());
    return arrays;
  }

  void set_states(const py::object& given) {
    const state_arrays<T> arrays(cells, given, batch());
    engine.load(arrays.initial.data());
  }

 private:
  static std::string text(Py_ssize_t rows, Py_ssize_t columns) {
    return "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
  }
  static std::string text(const py::detail::PyArray_Proxy& array) {
    return text(array.dimensions[0], array.dimensions[1]);
  }

  // The caller's array for the outputs.
  py::object checked_out(PyObject* out, const py::detail::PyArray_Proxy& inputs) const {
    const auto* array = plain_array<T>(out, 2);
    constexpr int writeable = py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
    const bool fits = array != nullptr && array->dimensions[0] == batch() && array->dimensions[1] == width() &&
                      (array->flags & writeable) != 0;
    if (!fits)
      throw py::value_error("out: expected a writeable array of shape " + text(batch(), width()) + ", dtype " +
                            dtype_name<T>() + " and contiguous rows, got " + std::string(py::repr(py::type::of(out))) +
                            (as_array(out) == nullptr
                                 ? ""
                                 : " of shape " + std::string(py::str(py::getattr(out, "shape"))) + " and dtype " +
                                       std::string(py::str(py::getattr(out, "dtype")))));
    const auto [out_begin, out_end] = extent(*array);
    const auto [begin, end] = extent(inputs);
    if (out_begin < end && begin < out_end) throw py::value_error("out: expected memory of its own, shares inputs'");
    return py::reinterpret_borrow<py::object>(out);
  }

  // The bytes between the first and the last value.
  static std::pair<const char*, const char*> extent(const py::detail::PyArray_Proxy& array) {
    const char* begin = array.data;
    const char* end = array.data + sizeof(T);
    for (int axis = 0; axis < 2; ++axis) {
      const Py_ssize_t reach = (array.dimensions[axis] - 1) * array.strides[axis];
      (reach < 0 ? begin : end) += reach;
    }
    return {begin, end};
  }

  // About 20 microseconds, see plain_call.
  bool small() const {
    constexpr double small_step_bytes = 3e6;
    double bytes = 0;
    for (const packed_cell<T>* cell : cells) bytes += static_cast<double>(cell->bytes());
    return bytes * static_cast<double>(batch()) < small_step_bytes;
  }
};

class stream_object {
 private:
  // First, as the others need its result type.
  template <class F>
  decltype(auto) visit(F f) {
    return std::visit([&f](auto& stream) { return f(*stream); }, stream_);
  }

 public:
  stream_object(const py::sequence& cells, std::size_t batch, const py::sequence& watched, std::uint64_t checked_at)
      : watched_(watched), epoch_(checked_at) {
    cell_objects held = hold_cells(cells, "cells");
    if (holds_doubles(held)) {
      stream_ = std::make_unique<stream_of<double>>(std::move(held), batch);
    } else {
      stream_ = std::make_unique<stream_of<float>>(std::move(held), batch);
    }
  }

  // (inputs, out): the outputs; None where the inputs are not plain, or the cells may be out of date.
  static py::object call(stream_object& self, PyObject* const* args, Py_ssize_t count) {
    if (count != 2) throw py::type_error("expected inputs and out");
    if (self.epoch_ != epoch() || !self.watched_.unchanged()) return py::none();
    const exclusive alone(self.busy_);
    return self.visit([&](auto& stream) { return stream.step(args[0], args[1]); });
  }

  py::list states() {
    const exclusive alone(busy_);
    return visit([](auto& stream) { return stream.states(); });
  }

  void set_states(const py::object& states) {
    const exclusive alone(busy_);
    visit([&](auto& stream) { stream.set_states(states); });
  }

  void zero_rows(const std::vector<py::ssize_t>& rows) {
    const exclusive alone(busy_);
    visit([&](auto& stream) {
      for (const py::ssize_t row : rows)
        if (row < 0 || row >= stream.batch())
          throw py::index_error("rows: expected numbers from 0 to " + std::to_string(stream.batch() - 1) + ", got " +
                                std::to_string(row));
      for (const py::ssize_t row : rows) stream.engine.zero_row(static_cast<std::size_t>(row));
    });
  }

  // The cells were up to date at this epoch.
  void renew(const py::sequence& watched, std::uint64_t checked_at) {
    watched_ = watched_lists(watched);
    epoch_ = checked_at;
  }

 private:
  std::variant<std::unique_ptr<stream_of<float>>, std::unique_ptr<stream_of<double>>> stream_;
  watched_lists watched_;
  std::uint64_t epoch_;
  std::atomic<bool> busy_{false};
};

}  // namespace

void register_stream(py::module_& module) {
  py::class_<stream_object>(module, "Stream", py::is_final(), plain_metaclass(),
                            py::custom_type_setup(&make_callable<stream_object, &stream_object::call>))
      .def_static(
          "_make",
          [](const py::sequence& cells, std::size_t batch, const py::sequence& watched, std::uint64_t checked_at) {
            return std::make_unique<stream_object>(cells, batch, watched, checked_at);
          },
          py::arg("cells"), py::arg("batch"), py::arg("watched"), py::arg("epoch"))
      .def("states", &stream_object::states)
      .def("set_states", &stream_object::set_states, py::arg("states"))
      .def("zero_rows", &stream_object::zero_rows, py::arg("rows"))
      .def("renew", &stream_object::renew, py::arg("watched"), py::arg("epoch"));
}

}  // namespace rnnpack::bindings
