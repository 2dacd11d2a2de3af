"""What an experiment is, and how a YAML file becomes one."""

from __future__ import annotations

from raynas.config.experiment import Experiment, Resources, TuneOptions
from raynas.config.loading import Override, load, load_text, override, with_values
from raynas.config.plain import to_yaml

__all__ = [
    "Experiment",
    "Override",
    "Resources",
    "TuneOptions",
    "load",
    "load_text",
    "override",
    "to_yaml",
    "with_values",
]
