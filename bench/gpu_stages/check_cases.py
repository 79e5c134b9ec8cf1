"""The layers that are checked against the float64 oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import product

KINDS = ("lstm", "gru", "gru_reset_before", "simple_rnn")
FORMATS = ("float32", "tf32", "bfloat16", "float16", "float64")
ACTIVATIONS = (
    "tanh",
    "sigmoid",
    "hard_sigmoid",
    "relu",
    "elu",
    "selu",
    "softplus",
    "softsign",
    "swish",
    "gelu",
    "exponential",
    "linear",
)
MASKS = ("none", "right", "left", "holes", "empty")
MERGES = ("concat", "sum", "mul", "ave")
SMALL = ((1, 1, 1, 1), (3, 7, 5, 8), (5, 9, 17, 33), (17, 4, 64, 64), (2, 6, 130, 96))
WIDE = ((2, 3, 192, 256), (1, 3, 770, 768))  # batch, timesteps, features, units
COMBINED = 24  # random combinations of everything, by kind and format


@dataclass(frozen=True)
class Case:
    """One layer and its arguments.

    Attributes:
        kind: one of `KINDS`.
        format: one of `FORMATS`.
        shape: batch, timesteps, features, units.
        activation: of the candidate.
        recurrent_activation: of the gates; unused by simple_rnn.
        use_bias: whether there is one.
        mask: one of `MASKS`; "empty" masks whole rows, too.
        lengths: rows of different lengths instead of a mask.
        zero_output_for_mask: the layer's flag, as are the three that follow.
        go_backwards: read the timesteps from the last to the first.
        time_major: time comes first.
        return_sequences: all outputs, not only the last.
        merge: how two directions are merged; "" for one direction.
        states: whether initial states are given.
        depth: cells in a stack.
        on_gpu: whether the arrays are the GPU's, in the format's own dtype, with gaps between rows.
    """

    kind: str
    format: str
    shape: tuple[int, int, int, int] = (5, 9, 17, 33)
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    use_bias: bool = True
    mask: str = "none"
    lengths: bool = False
    zero_output_for_mask: bool = False
    go_backwards: bool = False
    time_major: bool = False
    return_sequences: bool = True
    merge: str = ""
    states: bool = False
    depth: int = 1
    on_gpu: bool = False

    @property
    def key(self) -> str:
        """Its name in the results: the kind, the format and what is not as usual."""
        usual = asdict(Case(self.kind, self.format))
        parts = [self.kind, self.format]
        for name, value in asdict(self).items():
            if value != usual[name]:
                shown = "x".join(map(str, value)) if name == "shape" else str(value)
                parts.append(name if value is True else f"{name}={shown}")
        return " ".join(parts)


def valid(case: Case) -> bool:
    """Whether a layer takes these together."""
    # Two directions of a layer that goes backwards turn the rows with the padding behind them.
    turned = case.merge and case.go_backwards and case.return_sequences
    return not (case.lengths and (case.mask != "none" or case.time_major or turned))


def _alone() -> Iterator[dict[str, object]]:
    """One thing that is not as usual."""
    yield {}
    yield from ({"shape": shape} for shape in (*SMALL, *WIDE))
    yield from ({"mask": mask} for mask in MASKS[1:])
    yield from ({"mask": mask, "zero_output_for_mask": True} for mask in MASKS[1:])
    yield from ({"mask": mask, "return_sequences": False} for mask in MASKS[1:])
    yield from ({"merge": merge} for merge in MERGES)
    yield {"merge": "concat", "mask": "holes"}
    yield {"merge": "sum", "lengths": True}
    yield {"merge": "concat", "states": True, "depth": 2, "mask": "right"}
    yield {"lengths": True}
    yield {"lengths": True, "go_backwards": True, "return_sequences": False}
    yield {"go_backwards": True}
    yield {"go_backwards": True, "mask": "left"}
    yield {"time_major": True}
    yield {"time_major": True, "mask": "holes", "go_backwards": True}
    yield {"use_bias": False}
    yield {"states": True}
    yield {"states": True, "mask": "empty"}
    yield {"depth": 3}
    yield {"depth": 2, "states": True, "mask": "holes", "return_sequences": False}


def _combined(generator: random.Random) -> Iterator[dict[str, object]]:
    """Random combinations of everything."""
    for _ in range(COMBINED):
        yield {
            "shape": generator.choice(SMALL),
            "activation": generator.choice(ACTIVATIONS[:3]),
            "recurrent_activation": generator.choice(ACTIVATIONS[1:3]),
            "use_bias": generator.random() < 0.8,
            "mask": generator.choice(MASKS),
            "lengths": generator.random() < 0.2,
            "zero_output_for_mask": generator.random() < 0.5,
            "go_backwards": generator.random() < 0.5,
            "time_major": generator.random() < 0.3,
            "return_sequences": generator.random() < 0.7,
            "merge": generator.choice(("", *MERGES)),
            "states": generator.random() < 0.5,
            "depth": generator.choice((1, 1, 2, 3)),
        }


def cases(with_gpu_arrays: bool, seed: int = 0) -> list[Case]:
    """All cases, the plainest first, then shuffled.

    Args:
        with_gpu_arrays: whether every second case is to have arrays that live on the GPU, float64 ones too.
        seed: of the shuffling, and of the random combinations.
    """
    generator = random.Random(seed)
    found: dict[str, Case] = {}
    plain = []
    for kind, form in product(KINDS, FORMATS):
        base = Case(kind, form)
        wanted = [*_alone(), *_combined(generator)]
        wanted += [{"activation": name, "shape": (3, 4, 6, 9)} for name in ACTIVATIONS]
        wanted += [{"recurrent_activation": name, "shape": (3, 4, 6, 9)} for name in ACTIVATIONS]
        made = [replace(base, **values) for values in wanted]  # type: ignore[arg-type]
        if with_gpu_arrays:
            made = [replace(case, on_gpu=on) for case in made[:1] for on in (True, False)] + [
                replace(case, on_gpu=generator.random() < 0.5) for case in made[1:]
            ]
        plain += [case.key for case in made[: 1 + with_gpu_arrays]]
        found |= {case.key: case for case in made if valid(case)}
    rest = [key for key in found if key not in set(plain)]
    generator.shuffle(rest)
    return [found[key] for key in (*plain, *rest)]
