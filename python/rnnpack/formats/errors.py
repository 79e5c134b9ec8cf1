"""The one exception of all loaders."""

from __future__ import annotations


class FormatError(ValueError):
    """A file or object that cannot be read: truncated, corrupted, hostile, or of an unsupported kind.

    The message is one line: the file or part, what was expected and what was found.
    """
