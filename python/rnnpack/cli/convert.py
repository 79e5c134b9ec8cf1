"""`rnnpack convert`: a model in another format."""

from __future__ import annotations

import os
from typing import Any

from rnnpack.cli.terminal import note
from rnnpack.datafiles.loading import loaded
from rnnpack.formats import detect, save


def command(options: Any) -> None:
    """Loads and saves."""
    if os.path.exists(options.target) and not options.force:
        raise FileExistsError(f"{options.target} exists: --force replaces it")
    model = loaded(options.source, options.source_format)
    save(model, options.target, format=options.target_format)
    note(f"wrote {options.target}: {detect(options.target)}, {model.count_params():,} parameters")
