"""What the page of a diagnosis, and the terminal, say of remedies that were measured."""

from collections.abc import Sequence
from math import inf, isfinite

from matplotlib.figure import Figure

from residua.diagnostics.what_if import WhatIf, better_by
from residua.report.diagnosis_figures import DASHED, WIDE
from residua.report.numbers import measure
from residua.report.section import Drawing, Rows, Section, plural
from residua.report.style import PALETTE, dress, legend, new_figure


def remedies(rows: Sequence[WhatIf]) -> Section:
    """Says what a network with one thing changed brings."""
    before, *changed = rows
    best = min(rows, key=lambda row: (better_by(row, rows), row.last_loss if isfinite(row.last_loss) else inf))
    said = "None of the variants has a lower loss" if best is before else f"The lowest loss has {_named(best)}"
    columns = ("variant", "gradient, first over last", "a layer", "first loss", "last loss", "steps")
    cells = tuple(
        (
            _named(row),
            measure(row.ratio),
            "–" if row.per_layer is None else f"×{measure(row.per_layer)}",
            measure(row.first_loss),
            measure(row.last_loss),
            str(row.steps),
        )
        for row in rows
    )
    return Section(
        name="what-if",
        title="What would help",
        says=f"{said} after a short training: {measure(best.last_loss)}, beside {measure(before.last_loss)} as it is.",
        caption=f"The network with one thing changed, {plural(len(changed), 'variant')}, on the same batches: the "
        "gradient’s norm at the first place over that at the last before the first step, what a layer multiplies it "
        "by on the way back, and the loss before and after the steps, smoothed. One seed each: a difference of a tenth "
        "says little.",
        drawings=(
            Drawing(
                name="what-if",
                draw=lambda: _bars(rows),
                label="Loss of each variant after a short training, beside the network as it is",
                wide=True,
            ),
        ),
        tables=(Rows(caption="Every variant", columns=columns, cells=cells, folded=False),),
    )


def remedy_lines(rows: Sequence[WhatIf]) -> list[str]:
    """Returns the variants as lines for the terminal; empty where none was measured."""
    if not rows:
        return []
    head = f"{'what if':<32}{'gradient ratio':>15}{'a layer':>10}{'last loss':>11}  steps"
    return [head, *(_line(row) for row in rows)]


def _line(row: WhatIf) -> str:
    each = "–" if row.per_layer is None else f"×{measure(row.per_layer)}"
    return f"{_named(row)[:31]:<32}{measure(row.ratio):>15}{each:>10}{measure(row.last_loss):>11}  {row.steps}"


def _named(row: WhatIf) -> str:
    return f"{row.name}: {row.says}" if row.says else row.name


def _bars(rows: Sequence[WhatIf]) -> Figure:
    """Draws the loss after the short training; the line is the network as it is."""
    before, *changed = rows
    figure = new_figure(WIDE[0], 0.7 + 0.32 * max(1, len(changed)))
    axes = dress(figure.add_subplot(), "", "loss after the short training")
    axes.barh([_named(row) for row in changed], [row.last_loss for row in changed], color=PALETTE["fill"], height=0.62)
    axes.axvline(before.last_loss, color=PALETTE["held"], linestyle=DASHED, linewidth=1.4, label="as it is")
    axes.invert_yaxis()
    axes.yaxis.grid(visible=False)
    axes.set_xlim(left=0)
    legend(axes)
    return figure
