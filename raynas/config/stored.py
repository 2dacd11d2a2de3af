"""The configuration that a run's folder keeps."""

from __future__ import annotations

from collections.abc import Sequence

from raynas.config.experiment import Experiment
from raynas.config.loading import Override, load_text
from raynas.errors import InputError
from raynas.storage import Folder

CONFIG = "config.yaml"


def experiment_of(folder: Folder, overrides: Sequence[Override] = (), *, here: bool) -> Experiment:
    """The experiment of a run.

    Args:
        folder: The run's.
        overrides: Values set on top of its configuration.
        here: Whether its trials run on this machine, so that their files must be here.

    Raises:
        InputError: The folder holds no configuration, or one that was changed for the worse.
    """
    source = f"{folder.uri}/{CONFIG}"
    try:
        text = folder.read(CONFIG).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: cannot be read: {error}") from error
    return load_text(text, source=source, overrides=overrides, here=here)
