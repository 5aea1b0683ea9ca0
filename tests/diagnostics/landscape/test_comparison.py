"""A twin is the rougher only where every draw of the directions says so, and a ranking that changes is said first."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.report.fabricated_surfaces import centre, comparison, numbers

from residua.diagnostics.landscape.comparison import QUANTITIES, Comparison, Row, changed, headline, ranking, rougher

MEDIAN, NEAR, NON_CONVEX, _ = QUANTITIES


def compared(residual, plain, **other) -> Comparison:
    """Twins whose median losses are given draw by draw under ``frozen``, and maybe under another policy."""
    rows, pairs = [], {"frozen": (residual, plain), **other}
    policy: Any
    twin: Any
    for policy, (one, two) in pairs.items():
        for twin, medians in (("residual", one), ("plain", two)):
            found = tuple(numbers(median, 0.2, None, 1.0) for median in medians)
            seeds = tuple(range(len(medians)))
            rows.append(Row(twin=twin, policy=policy, seeds=seeds, numbers=found, shape=(9, 9), images=256))
    return replace(comparison(), rows=tuple(rows))


@pytest.mark.parametrize(
    ("residual", "plain", "expected"),
    [
        ((1, 2, 3), (2, 3, 4), "plain"),
        ((2, 3, 4), (1, 2, 3), "residual"),
        ((1, 2, 3), (2, 1, 9), None),
        ((1, 2), (1, 3), None),
        ((1.0,), (float("inf"),), "plain"),
    ],
)
def test_a_twin_is_rougher_where_every_pair_of_draws_agrees(residual, plain, expected):
    """Draws are paired: of (1, 2, 3) and (2, 1, 9) the medians differ, and yet the second draw says otherwise."""
    assert rougher(compared(residual, plain), "frozen", MEDIAN) == expected


def test_more_cells_near_the_centres_loss_are_smoother():
    found = replace(
        compared((1,), (1,)),
        rows=tuple(
            replace(row, numbers=(numbers(1.0, 0.9 if row.twin == "residual" else 0.1, None, 1.0),))
            for row in compared((1,), (1,)).rows
        ),
    )
    assert rougher(found, "frozen", NEAR) == "plain"


def test_a_number_that_one_of_them_lacks_ranks_nothing():
    found = compared((1, 1), (2, 2))
    assert rougher(found, "frozen", NON_CONVEX) is None
    assert NON_CONVEX.name not in ranking(found, "frozen")
    assert found.rows[0].measured(NON_CONVEX) is None


def test_a_ranking_that_is_turned_round_by_the_norms_comes_first():
    found = compared((1, 2), (800, 900), recalibrated=((3, 4), (1, 2)))
    assert changed(found) == ("median loss",)
    first, second, third, _ = headline(found)
    assert first.startswith("Which surface is the rougher depends on how the norms are treated: by median loss")
    assert "running statistics frozen and with statistics recalibrated at every point" in first
    assert "the plain network’s surface is the rougher by median loss" in second
    assert "(median loss 1.5 against 850, residual against plain)" in second
    assert "the residual network’s surface is the rougher by median loss" in third


def test_a_ranking_that_is_no_longer_decided_has_changed():
    found = compared((1, 2), (8, 9), recalibrated=((1, 2), (2, 1)))
    assert changed(found) == ("median loss",)
    assert "neither is the rougher by all 3 numbers in every draw" in headline(found)[2]


def test_a_ranking_that_holds_is_said_for_each_policy():
    first, second, _ = headline(comparison())
    assert (
        "frozen, over 3 draws of the directions: the plain network’s surface is the rougher by all 4 numbers" in first
    )
    assert "recalibrated at every point, over 3 draws" in second
    assert changed(comparison()) == ()


def test_a_twin_that_has_not_learned_is_named():
    found = comparison()
    assert headline(found)[-1] == (
        "At the centre the loss is 0.0123 (residual) and 1.92 (plain); the plain one is at no minimum."
    )
    both = replace(
        found,
        residual=replace(
            found.residual, cells=(replace(found.residual.cells[0], centre=centre(2.0, is_minimum=False)),)
        ),
    )
    assert headline(both)[-1].endswith("neither is at a minimum.")
    assert headline(replace(found, plain=found.residual))[-1].endswith("0.0123 (plain).")


def test_a_row_that_was_not_measured_is_no_row():
    with pytest.raises(KeyError):
        comparison().row("plain", "batch")


def test_the_spread_over_draws_is_that_of_the_numbers():
    spread = comparison().row("plain", "frozen").measured(MEDIAN)
    assert spread is not None
    assert (spread.low, spread.median, spread.high) == (310, 795, 1210)
    assert np.isfinite(spread.values).all()
