"""The parts of ``raynas benchmark``. One file, one of its commands."""
