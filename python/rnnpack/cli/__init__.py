"""The command `rnnpack`: trained models looked at, run on files, converted and timed.

Exit codes: 0 done, 1 an error (one line on stderr; `RNNPACK_DEBUG=1` adds the traceback), 2 wrong usage, 130
interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

_ERROR, _INTERRUPTED = 1, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: words after the command's name; default those of the process.

    Returns:
        The exit code.

    Raises:
        SystemExit: help was asked for, or the usage is wrong.
    """
    try:
        from rnnpack.cli.parser import parsed

        options = parsed(arguments)
        options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("rnnpack: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not try to write the rest of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _ERROR
    except Exception as error:
        if os.environ.get("RNNPACK_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        print(f"rnnpack: error: {_one_line(error)}", file=sys.stderr)
        return _ERROR
    return 0


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    return (
        text
        if isinstance(error, (ValueError, OSError, ImportError)) and text
        else f"{type(error).__name__}: {text}"
    )
