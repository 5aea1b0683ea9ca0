"""The tables beside a study's page: its claims and its arms as CSV, JSON, Markdown and LaTeX.

In all of them a row is the same: CSV and JSON have numbers as they are, the others as people read them.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import final

from residua import files
from residua.report.numbers import measure
from residua.report.study_words import Language, said, word
from residua.studies.results import Results
from residua.studies.statistics import estimate

Value = str | int | float | None
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "→": r"$\rightarrow$",
    "√": r"$\surd$",
    "‖": r"$\Vert$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "\u202f": r"\,",
}


@final
@dataclass(frozen=True)
class Table:
    """Rows with a name for every column."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]


def claims_table(several: Sequence[Results], language: Language = "en") -> Table:
    """Returns a row a claim: the claim, its source, the published number, ours, the verdict."""
    columns = ("study", "claim", "says", "source", "published", "smallest", "unit", "effect", "low", "high", "n")
    rows = []
    for results in several:
        verdicts = {verdict.claim: verdict for verdict in results.verdicts}
        for claim in results.study.claims:
            found = verdicts.get(claim.name)
            published = None if claim.published is None else said(claim.published, language)
            about = (results.study.name, claim.name, said(claim.says, language), claim.source, published)
            measured = (None, None, None, 0) if found is None else (found.effect, found.low, found.high, found.n)
            answer = (None, None) if found is None else (found.answer, found.needs)
            rows.append((*about, claim.smallest, said(claim.unit, language), *measured, results.scale, *answer))
    return Table(word("claims", language), (*columns, "scale", "verdict", "needs"), tuple(rows))


def arms_table(results: Results, language: Language = "en") -> Table:
    """Returns a row an arm and quantity: mean over the seeds, 95 % interval of the mean, n, every seed's number."""
    rows = []
    for arm in results.budget.arms:
        by_seed = results.numbers.get(arm.name, {})
        for quantity in sorted({name for numbers in by_seed.values() for name in numbers}):
            values = [by_seed[seed][quantity] for seed in sorted(by_seed) if quantity in by_seed[seed]]
            found = estimate(values)
            seeds = " ".join(repr(float(value)) for value in values)
            ends = (_bound(found.low), _bound(found.high))
            rows.append((results.study.name, arm.name, quantity, found.mean, *ends, found.n, seeds))
    columns = ("study", "arm", "quantity", "mean", "low", "high", "n", "seeds")
    return Table(word("arms", language), columns, tuple(rows))


def as_csv(table: Table) -> str:
    """Writes the table as RFC 4180 has it; an empty cell is a number that there is not."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return file.getvalue()


def as_json(table: Table) -> str:
    """Writes the table as a list of objects; a number that is not finite becomes its name, since JSON has none."""
    rows = [dict(zip(table.columns, map(_json_value, row), strict=True)) for row in table.rows]
    return json.dumps(rows, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def as_markdown(table: Table) -> str:
    """Writes the table with pipes, numbers to the right."""
    aligned = ["---:" if _is_numeric(table, place) else "---" for place in range(len(table.columns))]
    rows = [table.columns, aligned, *([_readable(value) for value in row] for row in table.rows)]
    escaped = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in escaped)


def as_latex(table: Table) -> str:
    """Writes a ``booktabs`` tabular, every letter escaped that means something to LaTeX."""
    aligned = "".join("r" if _is_numeric(table, place) else "l" for place in range(len(table.columns)))
    head = " & ".join(map(latex, table.columns))
    body = "".join(f"{' & '.join(latex(_readable(value)) for value in row)} \\\\\n" for row in table.rows)
    return (
        f"% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{aligned}}}\n\\toprule\n{head} \\\\\n\\midrule\n"
        f"{body}\\bottomrule\n\\end{{tabular}}\n"
    )


def latex(text: str) -> str:
    """Escapes what means something to LaTeX."""
    return re.sub("|".join(map(re.escape, _LATEX)), lambda found: _LATEX[found[0]], text)


FORMATS: Mapping[str, Callable[[Table], str]] = {"csv": as_csv, "json": as_json, "md": as_markdown, "tex": as_latex}
"""What writes a table, by the suffix of its file."""


def write_tables(folder: Path, tables: Mapping[str, Table]) -> tuple[Path, ...]:
    """Writes each table in every format as ``NAME.SUFFIX`` into a folder, and returns the paths."""
    written = {
        folder / f"{name}.{suffix}": make(table) for name, table in tables.items() for suffix, make in FORMATS.items()
    }
    for path, text in written.items():
        files.write(path, text)
    return tuple(written)


def _bound(end: float) -> float | None:
    """Returns an end of an interval; None where nothing bounds it."""
    return end if isfinite(end) else None


def _is_numeric(table: Table, place: int) -> bool:
    return all(not isinstance(row[place], str) for row in table.rows)


def _readable(value: Value) -> str:
    return value if isinstance(value, str) else measure(value)


def _json_value(value: Value) -> Value:
    return str(value) if isinstance(value, float) and not isfinite(value) else value
