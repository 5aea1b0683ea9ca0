"""A diagnosis in the terminal: its findings as lines, and every series along the depth as one line of blocks."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log10
from typing import final

from residua.diagnostics.findings import Finding
from residua.diagnostics.result import Diagnosis
from residua.report.numbers import measure

_BLOCKS = "▁▂▃▄▅▆▇█"
_GAP = "·"
"""Where there is no finite number."""
_WIDTH = 20
_LINE = 80
_NAME, _NUMBER = 25, 8


@final
@dataclass(frozen=True, kw_only=True)
class Series:
    """Numbers along the depth, input first, or along lags, lengths or steps."""

    name: str
    values: tuple[float, ...]
    logarithmic: bool = False
    predicted: str = ""


def sparkline(values: Sequence[float | int], *, width: int = _WIDTH, logarithmic: bool = False) -> str:
    """Returns a letter for each value, its height between the smallest and the largest; a dot where it is not finite.

    More values than ``width`` are gathered into as many runs of neighbours, of which each shows its mean.
    """
    heights = [_height(value, logarithmic) for value in _gathered(values, width, logarithmic)]
    finite = [height for height in heights if height is not None]
    if not finite:
        return _GAP * len(heights)
    low, span = min(finite), max(finite) - min(finite)
    steps = len(_BLOCKS) - 1
    return "".join(
        _GAP if height is None else _BLOCKS[round(steps * (height - low) / span) if span > 0 else 0]
        for height in heights
    )


def series_of(found: Diagnosis) -> tuple[Series, ...]:
    """Returns the main series of every part that was measured."""
    return (
        *_of_gradients(found),
        *_of_signals(found),
        *_of_stages(found),
        *_of_lines(found),
        *_of_lesions(found),
        *_of_questions(found),
    )


def series_lines(found: Diagnosis) -> list[str]:
    """Returns the table of all series, at most 80 letters wide; empty where nothing was measured."""
    rows = series_of(found)
    if not rows:
        return []
    head = f"{'':{_NAME}}{'first':>{_NUMBER}}  {'':{_WIDTH}}  {'last':<{_NUMBER}} predicted"
    return [head.rstrip(), *(_row(one) for one in rows)]


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Returns each finding as a few lines: what, where with its numbers, and the next step, or the cause to mend."""
    lines = []
    for one in findings:
        indent = " " * 9
        lines += _wrapped(f"{one.severity:<9}{one.says}", indent)
        numbers = [] if one.measured is None else [f"measured {measure(one.measured)}"]
        numbers += [] if one.predicted is None else [f"predicted {measure(one.predicted)}"]
        lines += _wrapped(f"{indent}{one.where}{': ' if numbers else ''}{', '.join(numbers)}", indent)
        next_step = f"explained by {one.explained_by}: mend that first" if one.explained_by else one.remedy
        lines += _wrapped(f"{indent}→ {next_step}", indent + "  ")
    return lines


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _LINE, subsequent_indent=indent, break_on_hyphens=False)


def _row(one: Series) -> str:
    first, last = one.values[0], one.values[-1]
    drawn = sparkline(one.values, logarithmic=one.logarithmic)
    name = one.name if len(one.name) < _NAME else f"{one.name[: _NAME - 2]}…"
    line = f"{name:{_NAME}}{measure(first):>{_NUMBER}}  {drawn:{_WIDTH}}  {measure(last):<{_NUMBER}} {one.predicted}"
    return line.rstrip()[:_LINE]


def _gathered(values: Sequence[float | int], width: int, logarithmic: bool) -> list[float | int]:
    if len(values) <= width:
        return list(values)
    bounds = [len(values) * i // width for i in range(width + 1)]
    return [_mean(values[a:b], logarithmic) for a, b in pairwise(bounds)]


def _mean(values: Sequence[float | int], logarithmic: bool) -> float:
    if logarithmic and all(value > 0 for value in values):
        return 10 ** (sum(map(log10, values)) / len(values))
    return sum(values) / len(values)


def _height(value: float | int, logarithmic: bool) -> float | int | None:
    if not isfinite(value) or (logarithmic and value <= 0):
        return None
    return log10(value) if logarithmic else value


def _of_gradients(found: Diagnosis) -> list[Series]:
    flow = found.gradients
    if flow is None:
        return []
    additions = [place for place in flow.places if place.kind == "addition"]
    layers = [place for place in flow.places if place.kind == "layer"]
    shown = additions if flow.along == "additions" else layers
    stream = [place.stream.median for place in shown]
    ratio = "" if flow.prediction is None else f"ratio {measure(flow.prediction.value)}"
    weights = [place.weights.median for place in layers if place.weights is not None]
    named = [("gradient, stream", stream, ratio)]
    named += [(f"gradient, {way}", [m.median for p in additions if (m := getattr(p, way))], "") for way in _WAYS]
    named += [("gradient over weights", weights, "")]
    return [_series(name, values, logarithmic=True, predicted=said) for name, values, said in named if values]


_WAYS = ("branch", "shortcut")


def _of_signals(found: Diagnosis) -> list[Series]:
    if found.signals is None:
        return []
    stream = found.signals.stream
    last = stream[-1] if stream else None
    variance = last.predicted_variance if last else None
    share = last.predicted_share if last else None
    rows = [
        ("variance of the stream", [one.variance for one in stream], variance, True),
        ("branch’s share of it", [one.share_of_variance for one in stream], share, False),
        ("dead units, share", [one.dead for one in found.signals.activations], None, False),
    ]
    return [
        _series(name, values, logarithmic=scaled, predicted="" if end is None else f"{measure(end)} at end")
        for name, values, end, scaled in rows
        if values
    ]


def _of_stages(found: Diagnosis) -> list[Series]:
    stages = [] if found.estimation is None else found.estimation.stages
    rows = [
        _series(f"cosine to end, stage {number}", one.cosines, predicted="rises to 1")
        for number, one in enumerate(stages, 1)
    ]
    if found.information is not None:
        rows.append(_series("input read out, R²", [one.r2 for one in found.information.places]))
    return rows


def _of_lines(found: Diagnosis) -> list[Series]:
    rows = []
    if found.shattering is not None:
        rows.append(_series("gradient along a line, r", found.shattering.autocorrelation))
        rows.append(_series("  brown noise, r", found.shattering.brown))
    if found.paths is not None:
        paths = found.paths
        mean = f"binomial {measure(paths.binomial_mean)}"
        rows.append(_series(f"paths, mean length {measure(paths.mean_length)}", paths.shares, predicted=mean))
    return rows


def _of_lesions(found: Diagnosis) -> list[Series]:
    if found.lesions is None or not found.lesions.single:
        return []
    name = f"{found.lesions.quantity} without a block"
    whole = f"{measure(found.lesions.whole)} whole"
    return [_series(name, [one.error for one in found.lesions.single], predicted=whole)]


def _of_questions(found: Diagnosis) -> list[Series]:
    asked = found.questions
    if asked is None:
        return []
    named = [
        ("loss, one small batch", asked.overfit, "falls to 0"),
        ("loss, as they are", asked.learned, ""),
        ("loss, inputs blanked", asked.blanked, "stays above"),
        ("loss, labels permuted", asked.permuted, "stays above"),
    ]
    return [_series(name, values, predicted=said) for name, values, said in named if values]


def _series(name: str, values: Sequence[float], *, logarithmic: bool = False, predicted: str = "") -> Series:
    return Series(name=name, values=tuple(values), logarithmic=logarithmic, predicted=predicted)
