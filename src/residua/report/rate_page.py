"""The page of a learning-rate range test: the loss over the rate, the suggestion, the command."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from markupsafe import Markup
from matplotlib.figure import Figure

from residua import __version__, files
from residua.report.numbers import significant
from residua.report.page import environment
from residua.report.style import PALETTE, dress, inline, new_figure, to_svg
from residua.training.rate_finder import RateTest

_ROOM_ABOVE = 0.25
"""Of the fall of the loss, shown above where it began: what diverges runs out of the figure."""


@final
@dataclass(frozen=True, kw_only=True)
class RateFound:
    """What a learning-rate range test found, and where its page is."""

    test: RateTest
    page: Path
    command: str
    """Trains with the suggested rate."""

    @property
    def learning_rate(self) -> float | None:
        """Returns the suggested rate; None where no rate lowered the loss."""
        return self.test.suggested

    @property
    def says(self) -> str:
        """Returns the suggested rate beside the recipe's, in one line."""
        return rate_line(self.test)


def rate_curve(tried: Sequence[dict[str, Any]], *, suggested: float | None, recipe_rate: float) -> Figure:
    """Draws the loss over the learning rate, with the suggested rate and the recipe's as lines.

    Args:
        tried: Rows of rate, loss and smoothed loss.
        suggested: None where there is none.
        recipe_rate: The recipe's.
    """
    figure = new_figure(9.0, 4.2)
    axes = dress(figure.add_subplot(), "", "learning rate", "loss")
    axes.set_xscale("log")
    rates, smoothed = [row["rate"] for row in tried], [row["smoothed"] for row in tried]
    axes.plot(rates, [row["loss"] for row in tried], color=PALETTE["fill"], linewidth=1.0, label="each step")
    axes.plot(rates, smoothed, color=PALETTE["train"], linewidth=1.8, label="smoothed")
    dashes = (0, (4, 3))
    axes.axvline(recipe_rate, color=PALETTE["soft"], linewidth=1.0, linestyle=dashes, label="the recipe’s")
    if suggested is not None:
        axes.axvline(suggested, color=PALETTE["held"], linewidth=1.4, label="suggested")
    if tried:
        low = min(min(smoothed), *(row["loss"] for row in tried))
        fall = max(smoothed[0] - low, 0.05 * smoothed[0])
        axes.set_ylim(low - 0.05 * fall, smoothed[0] + _ROOM_ABOVE * fall)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=4,
        frameon=False,
        fontsize=8.5,
        labelcolor=PALETTE["soft"],
        handlelength=1.6,
    )
    return figure


def write_rate_page(path: Path, found: RateTest, *, title: str, command: str) -> Path:
    """Writes the page, whole or not at all, and returns its path.

    Args:
        path: Of the page; an older one is replaced.
        found: What the test found.
        title: Network and source.
        command: Trains with the suggested rate.
    """
    rows = [asdict(step) for step in found.tried]
    drawn = rate_curve(rows, suggested=found.suggested, recipe_rate=found.recipe_rate)
    label = "Training loss over the learning rate, which rises from step to step"
    text = (
        environment()
        .get_template("rate.html.j2")
        .render(
            found=found,
            title=title,
            command=command,
            figure=Markup(inline(to_svg(drawn), "rate", label)),
            says=rate_line(found),
            version=__version__,
        )
    )
    files.write(path, text)
    return path


def rate_line(found: RateTest) -> str:
    """Says the suggested rate beside the recipe's, and how the test ended, in one line."""
    ours = f"the recipe’s is {significant(found.recipe_rate, 2)}"
    if found.suggested is None:
        return f"no learning rate lowered the loss ({found.ended} after {len(found.tried)} steps); {ours}"
    hint = "; the loss was still falling at the largest rate tried" if found.still_falls else ""
    return f"suggested learning rate {significant(found.suggested, 2)}; {ours}{hint}"
