"""The recurrent layer: argument rules, states and shapes; the numbers come from `rnnpack.engine`."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rnnpack import symbolic
from rnnpack.cells.base import output_size_of
from rnnpack.cells.stacked import StackedRNNCells
from rnnpack.engine import loop, masking, nest, state
from rnnpack.explain import Explanation
from rnnpack.layers import arguments, device, native_call, ragged
from rnnpack.layers.base import call_signature
from rnnpack.layers.building import build_cell
from rnnpack.layers.device import DeviceControl
from rnnpack.layers.input_spec import InputSpec, first_shape, map_shapes, shapes_of, without_states
from rnnpack.layers.recorded import states_kept_on_error
from rnnpack.layers.rnn_config import RNNConfig
from rnnpack.layers.stream import Stream

_STATEFUL_BATCH = (
    "If a RNN is stateful, it needs to know its batch size: give `batch_input_shape`, build with a full "
    "shape or call it on a batch that is not empty"
)


class RNN(DeviceControl, RNNConfig):
    """Runs a cell, or a stack of cells, over the time axis of its inputs.

    Args:
        cell: object with `call(inputs_at_t, states_at_t) -> (outputs_at_t, states_at_t_plus_1)` and
            `state_size`, or a list or tuple of such cells, which are stacked.
        return_sequences: return the outputs of all timesteps instead of the last.
        return_state: return a list: the output, then the final states.
        go_backwards: process the last timestep first; outputs are in processing order.
        stateful: start each call from the states in which the previous one ended.
        unroll: accepted; the numbers are the same.
        time_major: inputs, mask and sequence outputs are `(time, batch, ...)` instead of `(batch, time,
            ...)`.
        **kwargs: `zero_output_for_mask` (sequence outputs at masked steps are zero instead of the previous
            output), `device` ("cpu", or "cuda" or "cuda:N" for a GPU), `input_length`, and those of `Layer`.

    Call arguments:
        inputs: array `(batch, time, ...)` of real numbers; a tuple or dict of these for cells with several
            inputs; or a list `[inputs, *states, *constants]`. Ragged rows: a list of arrays `(time,
            features)`, or a pair `(values, row_lengths)` of all rows' timesteps one after the other, `(sum of
            lengths, ...)`, and their integer lengths `(batch,)`; sequences are returned in the same form.
        initial_state: array, or list with an entry (array or nest of arrays) for each top-level entry of
            `cell.state_size`; each array `(batch, *size)`, also with `time_major`.
        constants: array or list of arrays of any shape, handed to the cell at every step.
        mask: by keyword; bools or numbers, `(batch, time)` or `(batch, time, 1)`, 0 where a step is masked.
        training: by keyword; whether the cell computes in training mode.

    Returns from a call: the last output `(batch, *output_size)` or all `(batch, time, *output_size)`; with
    `return_state` a list of it and the final states, in the form of `initial_state`. All arrays are new.

    Raises:
        ValueError: a cell lacks `call` or `state_size`, or `device` is another word.
        TypeError: an unknown keyword.
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        time_major: bool = False,
        **kwargs: Any,
    ) -> None:
        """See the class."""
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell, dtype=kwargs.get("dtype"))
        # Only names: state_size may get its value in the cell's build().
        for attribute in ("call", "state_size"):
            if attribute not in dir(cell):
                raise ValueError(f"The RNN cell must have `{attribute}`, got cell={cell!r}")
        zero_output_for_mask = bool(kwargs.pop("zero_output_for_mask", False))
        word = device.checked(kwargs.pop("device", "cpu"))
        input_length, input_dim = kwargs.pop("input_length", None), kwargs.pop("input_dim", None)
        if "input_shape" not in kwargs and (input_length, input_dim) != (None, None):
            kwargs["input_shape"] = (input_length, input_dim)
        super().__init__(**kwargs)
        self.zero_output_for_mask = zero_output_for_mask
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.time_major = time_major
        if not self.trainable:
            self.trainable = False  # now for the cell too
        self.supports_masking = True
        self.constants_spec: list[InputSpec] | None = None
        self._states: Any = None
        self._num_constants = 0
        self._device = word

    # States.

    @property
    def states(self) -> list[Any]:
        """The recorded states, one entry for each of `cell.state_size`; on a GPU if the last call was."""
        recorded: list[Any] = state.none_like(self.cell.state_size) if self._states is None else self._states
        return recorded

    @states.setter
    def states(self, states: Any) -> None:
        if all(one is None for one in nest.flatten(states)):
            self._states = None
            return
        states, dtype = device.on_host(states), self._policy.compute_dtype
        if self.built:
            states = state.explicit(states, self.cell.state_size, self._fixed_batch(), dtype)
        self._states = nest.map_structure(np.array, state.as_list(states))

    @property
    def state_spec(self) -> Any:
        """InputSpecs of the states, in their structure."""
        sizes = state.top_level(self.cell.state_size)
        return nest.map_structure(lambda size: InputSpec(shape=(None, *state.dims_of(size))), sizes)

    def get_initial_state(self, inputs: Any) -> list[Any]:
        """First states for these inputs: the cell's own, or zeros."""
        array = nest.flatten(inputs)[0]
        return state.fresh(self.cell, array.shape[1 if self.time_major else 0], self._policy.compute_dtype)

    def reset_states(self, states: Any = None) -> None:
        """Sets the recorded states to zero or to copies of the given values.

        Args:
            states: None, one array, or a list (or nest) of arrays in the order of `states`.

        Raises:
            AttributeError: the layer is not stateful.
            ValueError: its batch size is unknown, or number, shape or dtype of the values do not fit.
        """
        if not self.stateful:
            raise AttributeError("Layer must be stateful.")
        batch = self._fixed_batch()
        if not batch:
            raise ValueError(_STATEFUL_BATCH)
        if self._states is None:
            # As in Keras: values given before there are states only make the cell create its first ones.
            self._states = state.fresh(self.cell, batch, self._policy.compute_dtype)
        elif states is None:
            self._states = state.zeros(self.cell.state_size, batch, self._policy.compute_dtype)
        else:
            self._states = state.replacement(device.on_host(states), self._recorded(batch))

    def _fixed_batch(self) -> int | None:
        """The batch size that build() has put into `input_spec`."""
        spec = nest.flatten(self.input_spec)[0]
        if spec is None or spec.shape is None:
            return None
        size: int | None = spec.shape[1 if self.time_major else 0]
        return size

    def _recorded(self, batch: int) -> list[Any]:
        """The recorded states, checked and on the host; fresh ones where there are none."""
        if self._states is None:
            return state.fresh(self.cell, batch, self._policy.compute_dtype)
        states = device.on_host(self._states)
        return state.explicit(states, self.cell.state_size, batch, self._policy.compute_dtype)

    # Building and shapes.

    def build(self, input_shape: Any) -> None:
        """Builds the cell for one timestep and fixes what inputs are accepted.

        Args:
            input_shape: shape of the inputs, a tuple or dict of shapes, or a list whose first item is one
                of these.

        Raises:
            ValueError: an input has fewer than 3 axes, or the layer is stateful and the batch size is
                unknown.
        """
        input_shape = without_states(input_shape)
        step_shape = map_shapes(self._step_shape, input_shape)
        batch = first_shape(step_shape)[0]
        if self.stateful and not batch:
            raise ValueError(_STATEFUL_BATCH)
        build_cell(self.cell, step_shape)
        spec = map_shapes(self._input_spec_of, input_shape)
        self.input_spec = [spec] if isinstance(spec, InputSpec) else spec
        if self.stateful:
            self._states = state.fresh(self.cell, batch, self._policy.compute_dtype)

    def _step_shape(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Shape without the time axis."""
        if len(shape) < 3:
            raise ValueError(
                f'Input of recurrent layer "{self.name}" is incompatible with the layer: expected '
                f"min_ndim=3, found ndim={len(shape)}. Full shape received: {shape}"
            )
        return (shape[1 if self.time_major else 0], *shape[2:])

    def _input_spec_of(self, shape: tuple[Any, ...]) -> InputSpec:
        batch = self._step_shape(shape)[0] if self.stateful else None
        return InputSpec(shape=(None, batch, *shape[2:]) if self.time_major else (batch, None, *shape[2:]))

    def _output_shapes(self, input_shape: Any) -> tuple[Any, list[Any]]:
        """Nest of output shapes and list of nests of state shapes."""
        shape = first_shape(input_shape)
        batch, length = (shape[1], shape[0]) if self.time_major else (shape[0], shape[1])
        lead = (
            ((length, batch) if self.time_major else (batch, length)) if self.return_sequences else (batch,)
        )
        output = nest.map_structure(
            lambda size: nest.TensorShape((*lead, *state.dims_of(size))), output_size_of(self.cell)
        )
        sizes = state.top_level(self.cell.state_size)
        return output, nest.map_structure(lambda size: nest.TensorShape((batch, *state.dims_of(size))), sizes)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the output; with `return_state` a list: output shape(s), then all state shapes, flat."""
        output, states = self._output_shapes(without_states(input_shape))
        result = arguments.assembled(output, nest.flatten(states), self.return_state)
        return nest.map_structure(lambda shape: tuple(shape.as_list()), result)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The first mask, unchanged, for sequences, else None; and None for each state that is returned."""
        output_mask = masking.first_mask(mask) if self.return_sequences else None
        return [output_mask] + [None] * len(self.states) if self.return_state else output_mask

    # Calling.

    def __call__(self, inputs: Any, initial_state: Any = None, constants: Any = None, **kwargs: Any) -> Any:
        """Runs the layer; see the class for the arguments.

        Raises:
            ValueError: inputs, states, mask or constants do not fit the layer; nothing has changed then.
            TypeError: a keyword that `call` does not take.
            AssertionError: states or constants are given both in a list of inputs and by keyword.
        """
        plain_call = self._plain_call  # once: another thread may reset it
        if plain_call is not None and constants is None:
            outputs = plain_call(inputs, initial_state, kwargs, self)
            if outputs is not None:
                return outputs
        if type(inputs) is np.ndarray and constants is None:
            outputs = native_call.quick(self, inputs, initial_state, kwargs)
            if outputs is not None:
                return outputs
        elif device.inputs_on_gpu(inputs):
            return device.call_on_gpu(self, inputs, initial_state, constants, kwargs)
        rows = ragged.recognized(inputs)
        if rows is not None:
            given = {"initial_state": initial_state, "constants": constants}
            given = {key: value for key, value in given.items() if value is not None}
            return ragged.call(self, rows, partial(native_call.on_rows, self), {**given, **kwargs})
        inputs, initial_state, constants = arguments.split_list(
            inputs, initial_state, constants, self._num_constants
        )
        arguments.check_symbolic([initial_state or [], constants or []])
        if symbolic.any_symbolic((inputs, constants)) and not call_signature(self.call).names("constants"):
            constants = None  # as in Keras: ignored here, a TypeError with arrays
        if initial_state is not None:
            kwargs["initial_state"] = initial_state
        if constants:
            kwargs["constants"] = constants
        with states_kept_on_error([self]):
            outputs = super().__call__(inputs, **kwargs)
        if constants:
            self._num_constants = len(constants)
            self.constants_spec = [InputSpec(shape=(None, *np.shape(value)[1:])) for value in constants]
        return outputs

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Notes whether the subclass computes in its own way."""
        super().__init_subclass__(**kwargs)
        cls._standard = native_call.is_standard(cls)

    _standard = True
    _plain_call: Any = None

    def call(
        self,
        inputs: Any,
        mask: Any = None,
        training: Any = None,
        initial_state: Any = None,
        constants: Any = None,
    ) -> Any:
        """Computes the outputs; shapes and result as in the class.

        Args:
            inputs: array of the compute dtype, or a nest of these.
            mask: mask array, a nest of masks of which the first counts, or None.
            training: mode of this call.
            initial_state: first states; None for those recorded or made.
            constants: list of arrays, or None.

        Raises:
            ValueError: shapes, numbers or dtypes of the arguments do not fit.
        """
        dtype, state_size = self._policy.compute_dtype, self.cell.state_size
        batch, _ = arguments.sizes_of(inputs, self.time_major)
        rows, columns = nest.flatten(inputs)[0].shape[:2]
        keep = masking.as_mask(mask, rows, columns, self.time_major)
        states: Any = self._first_states(initial_state, batch)
        keywords = arguments.cell_keywords(self.cell, bool(training), constants)
        cells = device.cells_for(self, inputs)
        if states is None and self._has_own_first_states():
            maker = f"{type(self).__name__}.get_initial_state()"
            states = state.made(self.get_initial_state(inputs), maker, state_size, batch, dtype)
        elif states is None and cells is None:  # the native call makes zeros, as all its cells begin with
            states = state.fresh(self.cell, batch, dtype)
        if cells is not None:
            flat = None if states is None else nest.flatten(states)
            output, final = native_call.run(self, cells, inputs, flat, keep, bool(training))
        else:
            loop.reset_dropout_masks(self.cell)
            output, final = loop.run(
                loop.step_function(self.cell, dtype, keywords),
                inputs,
                states,
                keep,
                time_major=self.time_major,
                go_backwards=self.go_backwards,
                return_sequences=self.return_sequences,
                zero_output_for_mask=self.zero_output_for_mask,
            )
        return arguments.assembled(output, self._record(final), self.return_state)

    def _first_states(self, initial_state: Any, batch: int) -> list[Any] | None:
        """The states a call starts from: given or recorded ones; None where they are to be made."""
        states = None
        if initial_state is not None:
            states = state.explicit(initial_state, self.cell.state_size, batch, self._policy.compute_dtype)
        if self.stateful:
            recorded = self._recorded(batch)
            # Given states count only while all recorded ones are zero.
            if states is None or not state.all_zero(recorded):
                states = recorded
        return states

    def _has_own_first_states(self) -> bool:
        """Whether the class or this object replaces `get_initial_state`."""
        return getattr(self.get_initial_state, "__func__", None) is not RNN.get_initial_state

    def stream(self, batch_size: int) -> Stream:
        """Begins a stream: one timestep a call, with the states kept in between.

        Args:
            batch_size: number of rows that step together.

        Raises:
            ValueError: not a positive integer, the layer goes backwards, its class computes in its own way,
                or its device is a GPU.
        """
        return Stream(self, batch_size)

    def _record(self, final: list[Any]) -> list[Any]:
        """Records the final states of a stateful layer; returns what the caller may have of them."""
        if not self.stateful:
            return final
        returned: list[Any] = nest.map_structure(np.array, final) if self.return_state else final
        # The recorded states before chose the dtypes; those on a GPU have none of NumPy's.
        before = nest.flatten(final if self._states is None else device.on_host(self._states))
        pairs = zip(nest.flatten(final), before, strict=True)
        self._states = nest.pack_sequence_as(final, [new.astype(old.dtype, copy=False) for new, old in pairs])
        return returned

    def _prepare_inputs(self, inputs: Any) -> Any:
        return arguments.prepared(inputs, self._policy.compute_dtype, self.autocast)

    def _prepare_symbolic(self, inputs: Any, given: dict[str, Any]) -> None:
        time_axis = 0 if self.time_major else 1
        if self.unroll and any(
            len(value.shape) > 1 and value.shape[time_axis] is None for value in nest.flatten(inputs)
        ):
            raise ValueError("Cannot unroll a RNN if the time dimension is undefined")
        super()._prepare_symbolic(inputs, given)
        arguments.cell_keywords(self.cell, False, given.get("constants"))
        if given.get("initial_state") is not None:
            batch = first_shape(shapes_of(inputs))[1 - time_axis]
            state.check(state.as_list(given["initial_state"]), self.cell.state_size, batch)

    def _symbolic_outputs(self, inputs: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        parts = self._output_shapes(shapes_of(inputs))
        output, states = nest.map_structure(
            lambda shape: symbolic.SymbolicArray(shape, self._policy.compute_dtype, self.name), parts
        )
        return arguments.assembled(output, states, self.return_state)

    def explain(self, training: bool | None = None) -> Explanation:
        """Says whether the layer runs natively, with which kernels, and if not, why; works before the build.

        Args:
            training: the mode asked about; both run the same way.
        """
        return device.explain(self)
