"""What every kind of a study's figure is drawn with: the trials' numbers, the arms' colours, names beside lines.

Colours are the groups', in the order of the arms; every line is named beside its end, so that no colour need be told
from another. A number that is not finite has no place in a figure; the tables have it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import median
from typing import final

from matplotlib.axes import Axes

from residua.report.study_words import Language, word
from residua.report.style import PALETTE
from residua.studies.design import Arm, FigureSpec
from residua.studies.results import Results

GROUP_COLOURS = ("train", "held", "third", "fourth", "fifth", "sixth", "soft")
"""Of `PALETTE`, in the order in which groups get them; the last is shared by all further ones."""
DASHED, DOTTED = (0, (4, 2.5)), (0, (1, 1.6))
_EARLY = 0.85
"""Of the axes' width: where a line ends before, a name beside the axes would be too far from it."""
_NAME_GAP = 0.062
"""Of the axes' height: names nearer to each other are moved apart."""

Points = Sequence[tuple[float, float]]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A figure under way."""

    axes: Axes
    spec: FigureSpec
    results: Results
    language: Language

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Returns the arms of the scale, in their order."""
        return self.results.budget.arms

    def values(self, arm: str, quantity: str) -> list[float]:
        """Returns an arm's quantity at every seed where it has a place, in the order of the seeds."""
        by_seed = self.results.numbers.get(arm, {})
        found = (by_seed[seed].get(quantity) for seed in sorted(by_seed))
        return [value for value in found if value is not None and self._shows(value)]

    def series(self, arm: str, name: str) -> list[Points]:
        """Returns an arm's series at every seed that has it, without the points that have no place."""
        by_seed = self.results.series.get(arm, {})
        found = (by_seed[seed].get(name, ()) for seed in sorted(by_seed))
        kept = ([(x, y) for x, y in points if isfinite(x) and self._shows(y)] for points in found)
        return [points for points in kept if points]

    def said(self, name: str) -> str:
        """Returns one of the page's own words."""
        return word(name, self.language)

    def _shows(self, value: float) -> bool:
        return isfinite(value) and (value > 0 or not self.spec.log_y)


def colours_of(arms: Sequence[Arm]) -> Mapping[str, str]:
    """Returns the colour of each arm by its name: that of its group, or its own where it is in none."""
    groups = list(dict.fromkeys(group_of(arm) for arm in arms))
    last = len(GROUP_COLOURS) - 1
    named = {group: PALETTE[GROUP_COLOURS[min(place, last)]] for place, group in enumerate(groups)}
    return {arm.name: named[group_of(arm)] for arm in arms}


def widths_of(arms: Sequence[Arm]) -> Mapping[str, float]:
    """Returns the width of each arm's line: within a group, the further along x the bolder."""
    widths = {}
    for arm in arms:
        places = sorted({other.x for other in arms if group_of(other) == group_of(arm) and other.x is not None})
        widths[arm.name] = 2.0
        if len(places) > 1 and arm.x is not None:
            widths[arm.name] = 1.1 + 1.4 * places.index(arm.x) / (len(places) - 1)
    return widths


def group_of(arm: Arm) -> str:
    """Returns the name of an arm's group; its own where it is in none."""
    return arm.group or arm.name


def middle_and_range(several: Sequence[Points]) -> list[tuple[float, float, float, float]]:
    """Returns x, and there the median, the smallest and the largest y of several series, by x."""
    by_x: dict[float, list[float]] = {}
    for points in several:
        for x, y in points:
            by_x.setdefault(x, []).append(y)
    return [(x, median(by_x[x]), min(by_x[x]), max(by_x[x])) for x in sorted(by_x)]


def name_ends(axes: Axes, ends: Mapping[str, tuple[float, float]], colours: Mapping[str, str]) -> None:
    """Writes names at the right of the axes, each at the height where its line ends, moved apart where they are near.

    The name of a line that ends before the axes do stands at its end.

    Args:
        axes: Whose limits are final.
        ends: The last point of each line, by name.
        colours: Of the names.
    """
    places = {name: _place(axes, end) for name, end in ends.items()}
    early = {name for name, (across, _) in places.items() if across < _EARLY}
    for name in early:
        _name_at_end(axes, name, ends[name], colours[name])
    heights = {name: height for name, (_, height) in places.items() if name not in early}
    for name, height in apart(heights).items():
        axes.annotate(
            name,
            xy=ends[name],
            xytext=(1.025, height),
            textcoords="axes fraction",
            fontsize=9.5,
            color=colours[name],
            va="center",
            annotation_clip=False,
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colours[name],
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 1,
                "relpos": (0, 0.5),
            },
        )


def apart(heights: Mapping[str, float]) -> Mapping[str, float]:
    """Moves heights apart, in their order, by no more than it takes; what would leave the axes goes down again."""
    names = sorted(heights, key=lambda name: heights[name])
    placed: list[float] = []
    for name in names:
        placed.append(max(heights[name], placed[-1] + _NAME_GAP) if placed else heights[name])
    over = max(0.0, placed[-1] - 1.0) if placed else 0.0
    placed = [height - over for height in placed]
    for place in reversed(range(len(placed) - 1)):
        if placed[place + 1] - placed[place] < _NAME_GAP:
            placed[place] = placed[place + 1] - _NAME_GAP
    return dict(zip(names, placed, strict=True))


def _name_at_end(axes: Axes, name: str, end: tuple[float, float], colour: str) -> None:
    """Writes a name under the end of a line, on paper of its own where another line passes."""
    axes.annotate(
        name,
        xy=end,
        xytext=(0, -5),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=9.5,
        color=colour,
        parse_math=False,
        bbox={"facecolor": PALETTE["paper"], "edgecolor": "none", "alpha": 0.8, "pad": 1},
    )


def _place(axes: Axes, point: tuple[float, float]) -> tuple[float, float]:
    """Returns where a point stands, as shares of the axes' width and height."""
    across, up = axes.transAxes.inverted().transform(axes.transData.transform(point))
    return float(across), float(up)


Kind = Callable[[Drawn], None]
"""Draws one kind of figure."""
