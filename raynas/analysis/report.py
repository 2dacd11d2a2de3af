"""A report: titled frames, each as Parquet, Markdown and a figure, in a directory of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raynas.analysis import markdown
from raynas.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

INDEX = "REPORT.md"
_MARK = re.compile(r"<!-- written by raynas study: (.*) -->")


@dataclass(frozen=True, eq=False)
class Section:
    """One experiment.

    Attributes:
        name: Stem of its files' names.
        title: Its heading.
        text: Markdown; what each number is.
        frame: All its numbers, tidy.
        tables: The frame as read by people, each with a caption.
        figure: Shown above the tables; None for none.
        finding: Its result in one line, for the index; may be empty.
    """

    name: str
    title: str
    text: str
    frame: pd.DataFrame
    tables: Sequence[tuple[str, pd.DataFrame]] = ()
    figure: Figure | None = None
    finding: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """What a study found.

    Attributes:
        title: Its heading.
        text: Markdown: of what, from what, what was not possible.
        sections: Its experiments.
    """

    title: str
    text: str
    sections: Sequence[Section] = field(default=())


def check_free(out: Path) -> None:
    """Refuses a directory that is not a report's own.

    Raises:
        InputError: It holds something, and no report; or it is a file.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a directory, new or of an earlier report")
    if out.is_dir() and any(out.iterdir()) and not _own(out):
        raise InputError(f"{out}: holds other files and no report of raynas; give a new directory")


def write(report: Report, out: Path) -> list[Path]:
    """Writes a report, in place of an earlier one.

    Args:
        report: What to write.
        out: Directory; made where there is none.

    Returns:
        The files, the index first.

    Raises:
        InputError: A file of that name is not an earlier report's, or the directory cannot be written.
    """
    check_free(out)
    contents: dict[str, bytes] = {}
    for section in report.sections:
        contents.update(_files(section))
    own = _own(out)
    for name in contents:
        if (out / name).exists() and name not in own:
            raise InputError(f"{out / name}: is not of an earlier report; move it, or give another directory")
    try:
        out.mkdir(parents=True, exist_ok=True)
        # The list of files comes first, so that what an interrupted run leaves is still known as its own.
        (out / INDEX).write_text(_index(report, sorted({*own, *contents})), encoding="utf-8")
        for name, content in contents.items():
            (out / name).write_bytes(content)
        for name in own - {INDEX, *contents}:
            (out / name).unlink(missing_ok=True)
        (out / INDEX).write_text(_index(report, sorted(contents)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror or error}; give another") from error
    return [out / INDEX, *(out / name for name in contents)]


def _own(out: Path) -> set[str]:
    """Names of the files that an earlier report in a directory wrote beside its index."""
    try:
        mark = _MARK.search((out / INDEX).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return set()
    # A name with a path in it is none of ours.
    return {INDEX, *(name for name in mark[1].split() if Path(name).name == name)} if mark else set()


def _files(section: Section) -> dict[str, bytes]:
    import io

    made: dict[str, bytes] = {}
    lines = [f"# {section.title}", section.text]
    if section.figure is not None:
        image = io.BytesIO()
        section.figure.savefig(image, format="png", dpi=120)
        made[f"{section.name}.png"] = image.getvalue()
        lines.append(f"![{section.title}]({section.name}.png)")
    for caption, frame in section.tables:
        lines += [caption, markdown.table(frame)]
    lines.append(f"All numbers, one row each: `{section.name}.parquet`.")
    made[f"{section.name}.md"] = ("\n\n".join(filter(None, lines)) + "\n").encode()
    made[f"{section.name}.parquet"] = section.frame.to_parquet(index=False)
    return made


def _index(report: Report, names: Sequence[str]) -> str:
    lines = [f"# {report.title}", report.text]
    for section in report.sections:
        finding = f"\n{section.finding}" if section.finding else ""
        lines.append(f"## [{section.title}]({section.name}.md)\n{finding}".rstrip())
    return "\n\n".join([*filter(None, lines), f"<!-- written by raynas study: {' '.join(names)} -->"]) + "\n"
