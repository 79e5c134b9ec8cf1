"""`python -m rnnpack`: the command line."""

from __future__ import annotations

import sys

from rnnpack.cli import main

sys.exit(main())
