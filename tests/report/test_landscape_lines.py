"""Curves of losses and of a Hessian's spectrum: gaps, infinities, both ends of what was measured."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from tests.report.fabricated_surfaces import curvature, line, surface, trail

from residua.diagnostics.measured import Measured
from residua.report.curvature_figures import over_draws, spectral_density
from residua.report.landscape_lines import along_line, along_path


def drawn(axes: Axes) -> list[Any]:
    return list(axes.lines)


def test_a_line_has_the_loss_of_every_part_and_its_errors_below():
    found = line()
    upper, lower = along_line(found).axes
    assert upper.get_yscale() == "log"
    losses = [one.get_ydata() for one in drawn(upper) if len(one.get_xdata()) == 61]
    np.testing.assert_allclose(losses, [one.loss[0] for one in found.cells])
    errors = [one.get_ydata() for one in drawn(lower) if len(one.get_xdata()) == 61]
    np.testing.assert_allclose(errors, [one.error[0] for one in found.cells if one.error is not None])
    assert "norms: running statistics frozen" in lower.get_xlabel()
    assert max(map(len, lower.get_xlabel().splitlines())) <= 120


def test_a_missing_loss_breaks_the_line_and_an_infinite_one_is_a_cross():
    found = line()
    loss = found.cells[0].loss.copy()
    loss[0, 3], loss[0, 10:12] = np.inf, np.nan
    broken = replace(found, cells=(replace(found.cells[0], loss=loss, error=None),))
    (axes,) = along_line(broken).axes
    curve = next(one for one in drawn(axes) if len(one.get_xdata()) == 61)
    assert np.flatnonzero(np.isnan(curve.get_ydata())).tolist() == [3, 10, 11]
    (cross,) = [one for one in drawn(axes) if one.get_marker() == "x"]
    assert cross.get_xdata().tolist() == [found.grid.axes[0].values[3]]


def test_the_true_loss_stands_beside_the_projected_one_with_the_variance_on_the_axis():
    (axes,) = along_path(trail(), "cross-entropy").axes
    true, projected = (one.get_ydata() for one in drawn(axes))
    np.testing.assert_allclose(true, trail().true_loss)
    np.testing.assert_allclose(projected, trail().projected_loss)
    assert "89.0\u202f% of the path’s variance" in axes.get_xlabel()


def test_the_density_is_logarithmic_and_marks_the_first_draws_eigenvalues():
    found = curvature()
    assert found.density is not None
    (axes,) = spectral_density(found, found.density).axes
    assert axes.get_yscale() == "log"
    marks = {one.get_label(): list(one.get_xdata()) for one in drawn(axes) if not one.get_label().startswith("_")}
    assert marks["largest eigenvalues"] == [one.values[0] for one in found.top]
    assert marks["most negative"] == [found.lowest.values[0]]


def test_a_hessian_without_a_negative_eigenvalue_marks_none():
    found = replace(curvature(), lowest=Measured((0.1, 0.2)))
    assert found.density is not None
    (axes,) = spectral_density(found, found.density).axes
    assert "most negative" not in [one.get_label() for one in drawn(axes)]


@pytest.mark.parametrize(("low", "scale"), [(1.0, "log"), (-1.0, "linear")])
def test_every_draw_of_an_eigenvalue_is_a_dot(low, scale):
    found = replace(curvature(), top=(Measured((20.0, 50.0, 30.0)), Measured((low, 2.0, 3.0))))
    (axes,) = over_draws(found).axes
    assert axes.get_yscale() == scale
    dots = [list(one.get_ydata()) for one in drawn(axes) if one.get_marker() == "o"]
    assert dots == [[20.0, 50.0, 30.0], [low, 2.0, 3.0]]
    medians = [list(one.get_ydata()) for one in drawn(axes) if one.get_marker() == "_"]
    assert medians == [[30.0], [2.0]]


def test_a_line_in_one_decade_is_linear():
    assert along_line(surface(1 + np.linspace(-1, 1, 9)[None, :] ** 2)).axes[0].get_yscale() == "linear"
