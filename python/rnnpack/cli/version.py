"""The version of this package."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """As it was installed; "unknown" where it runs from its sources."""
    try:
        return metadata.version("rnnpack")
    except metadata.PackageNotFoundError:
        return "unknown"
