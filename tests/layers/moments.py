"""Something that happens in the middle of a call, as if another thread had done it."""

from __future__ import annotations

import sys


def at_line(number, action, function):
    """The result of a function during whose run the action happens, before its n-th line; and if it did."""
    left, before = number, sys.gettrace()

    def trace(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                action()
        return trace

    sys.settrace(trace)
    try:
        result = function()
    finally:
        sys.settrace(before)
    return result, left <= 0
