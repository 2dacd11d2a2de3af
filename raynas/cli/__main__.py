"""``python -m raynas.cli`` is ``raynas``."""

from __future__ import annotations

import sys

from raynas.cli import main

sys.exit(main())
