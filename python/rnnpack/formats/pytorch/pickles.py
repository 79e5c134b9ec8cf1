"""What a pickle would do, found out without running it: what it names, and how large its tuples get."""

from __future__ import annotations

import pickletools
import re
from typing import Any

from rnnpack.formats.errors import FormatError

MOST_BYTES = 1 << 21  # the numbers lie beside it; this is enough for 10 000 tensors
_MOST_STEPS = 500_000
_MOST_ITEMS = 1 << 22

# All that dicts of tensors and numbers refer to.
_ALLOWED = re.compile(
    "torch._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch Size|"
    "torch (Float|Double|Half|BFloat16|Byte|Char|Short|Int|Long|Bool|ComplexFloat|ComplexDouble)Storage"
)

# What torch.save, which pickles in protocol 2, writes for them.
_GETS, _PUTS = ("BINGET", "LONG_BINGET"), ("BINPUT", "LONG_BINPUT")
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OTHERS = (
    *("PROTO", "STOP", "MARK", "TUPLE", "GLOBAL", "REDUCE", "BUILD", "BINPERSID"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
)
_OPCODES = {*_GETS, *_PUTS, *_TUPLES, *_OTHERS}
_MARK = -1


def check(pickled: bytes, part: str) -> None:
    """Raises FormatError unless a pickle makes dicts of tensors and numbers only, in sensible time.

    Args:
        pickled: the pickle.
        part: the file and part, for messages.
    """
    items = Items()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
            named = opcode.name == "GLOBAL"
            if not (_ALLOWED.fullmatch(str(argument)) if named else opcode.name in _OPCODES):
                found = str(argument)[:100] if named else opcode.name
                raise FormatError(
                    f"{part}: expected dicts of tensors and numbers, got {found!r} (of a whole module?): "
                    "save its state_dict()"
                )
            items.follow(opcode, argument)
            if step > _MOST_STEPS or items.total > _MOST_ITEMS:
                raise FormatError(
                    f"{part}: expected at most {_MOST_STEPS} steps and {_MOST_ITEMS} items in tuples"
                )
    except FormatError:
        raise
    except (ValueError, LookupError, EOFError) as error:
        raise FormatError(f"{part}: damaged ({error})") from None


class Items:
    """The unpickler's stack, with the number of items of each object instead of the object.

    Only tuples count, with all that is in them: each use of one as a key visits them all, and tuples of
    tuples that are fetched from the memo can have exponentially many.

    Attributes:
        total: items of all tuples that were made or fetched.
    """

    def __init__(self) -> None:
        self.total = 0
        self._stack: list[int] = []
        self._memo: dict[int, int] = {}

    def follow(self, opcode: Any, argument: Any) -> None:
        """Does to the stack what an opcode does; LookupError if it cannot."""
        name = opcode.name
        if name in _PUTS:
            self._memo[argument] = self._stack[-1]
        elif name in _GETS:
            self._push(self._memo[argument])
        elif name == "TUPLE":
            self._push(1 + sum(self._popped_to_mark()))
        elif name in _TUPLES:
            self._push(1 + sum(self._popped(_TUPLES[name])))
        elif name == "REDUCE":  # torch.Size is a tuple too
            self._push(sum(self._popped(2)))
        else:
            self._follow_other(opcode)

    def _follow_other(self, opcode: Any) -> None:
        """What the tables of pickletools say."""
        before = list(opcode.stack_before)
        if pickletools.markobject in before:
            self._popped_to_mark()
            before = before[: before.index(pickletools.markobject)]
        self._popped(len(before))
        for made in opcode.stack_after:
            self._stack.append(_MARK if made is pickletools.markobject else 1)

    def _push(self, items: int) -> None:
        self._stack.append(items)
        self.total += items

    def _popped(self, count: int) -> list[int]:
        if count > len(self._stack):
            raise LookupError("the stack is empty")
        start = len(self._stack) - count
        popped, self._stack[start:] = self._stack[start:], []
        return popped

    def _popped_to_mark(self) -> list[int]:
        start = len(self._stack) - 1
        while start >= 0 and self._stack[start] != _MARK:
            start -= 1
        if start < 0:
            raise LookupError("there is no mark")
        popped = self._popped(len(self._stack) - start)
        return popped[1:]
