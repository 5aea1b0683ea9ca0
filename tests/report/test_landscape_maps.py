"""Maps show what was measured and nothing else: gaps stay gaps, scales are shared, numbers stand beside the picture."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from tests.report.fabricated_surfaces import SIDE, bowl, comparison, partial, rough, surface, traced

from residua.diagnostics.landscape.surface import Plane
from residua.report import landscape_maps as maps
from residua.report.landscape_marks import edges, panels_of, twin_panels
from residua.report.landscape_scale import INFINITE
from residua.report.style import to_svg


def texts(figure: Figure) -> str:
    axes: list[Any] = list(figure.axes)
    labels = [one.get_text() for place in axes for one in (place.xaxis.label, place.yaxis.label, *place.texts)]
    return "\n".join([*labels, *(place.get_title(loc) for place in axes for loc in ("left", "center", "right"))])


def quads(figure: Figure) -> list[Any]:
    return [
        one for place in figure.axes for one in place.collections if isinstance(one, QuadMesh) and place.get_xlabel()
    ]


def test_borders_of_cells_are_half_way_also_where_points_are_uneven():
    np.testing.assert_allclose(edges((0.0, 1.0, 3.0)), [-0.5, 0.5, 2.0, 4.0])


def test_the_cell_of_row_j_and_column_i_stands_at_x_i_and_y_j():
    """A plane that rises with x and, ten times as fast, with y; more columns than rows."""
    table = 1 + np.arange(5)[None, :] + 10.0 * np.arange(3)[:, None]
    drawn = quads(maps.cells(panels_of(surface(table))))[0]
    np.testing.assert_allclose(np.asarray(drawn.get_array()).reshape(3, 5), table)
    corners = drawn.get_coordinates()
    assert corners.shape == (4, 6, 2)
    assert (np.diff(corners[0, :, 0]) > 0).all()
    assert (np.diff(corners[:, 0, 1]) > 0).all()


def test_what_is_missing_is_masked_hatched_and_counted():
    figure = maps.cells(panels_of(partial()))
    missing = np.isnan(partial().cells[0].loss)
    np.testing.assert_array_equal(np.ma.getmaskarray(quads(figure)[0].get_array()).reshape(missing.shape), missing)
    (hatched,) = [one for one in figure.axes[0].collections if isinstance(one, PolyCollection)]
    assert hatched.get_hatch()
    assert len(hatched.get_paths()) == missing.sum()
    assert figure.legends[0].get_texts()[0].get_text() == "not computed: 50.1\u202f% of cells"


def test_what_is_infinite_is_painted_in_a_colour_of_its_own_and_counted():
    figure = maps.contours(panels_of(surface(rough())))
    (painted,) = [
        one for one in figure.axes[0].collections if isinstance(one, PolyCollection) and not isinstance(one, QuadMesh)
    ]
    assert len(painted.get_paths()) == 6
    assert not painted.get_hatch()
    assert figure.legends[0].get_texts()[0].get_text() == "infinite: 1.0\u202f% of cells"
    assert INFINITE in to_svg(figure)


def test_no_contour_is_drawn_across_a_gap():
    """Of a bowl whose middle column is missing, no line comes nearer to it than the next column."""
    table = bowl()
    table[:, SIDE // 2] = np.nan
    figure = maps.contours(panels_of(surface(table)))
    step = 2 / (SIDE - 1)
    lines = [one for one in figure.axes[0].collections if isinstance(one, QuadContourSet) and not one.filled]
    across = np.concatenate(
        [segment[:, 0] for one in lines for level in one.allsegs for segment in level if len(segment)]
    )
    assert len(across) > 50
    assert np.abs(across).min() >= step - 1e-9


def test_levels_are_written_on_lines_that_have_their_loss():
    """The label's place, put into the bowl's formula, gives its loss to within the error of a straight piece."""
    figure = maps.contours(panels_of(surface()))
    written = list(figure.axes[0].texts)
    assert len(written) >= 4
    for one in written:
        x, y = one.get_position()
        loss = 0.0123 + 6 * (x**2 + 0.6 * y**2 + 0.3 * x * y)
        assert loss == pytest.approx(float(one.get_text()), rel=0.05)


def test_twins_share_one_scale_and_clipping_is_said():
    figure = maps.contours(twin_panels(comparison()))
    ends = {(one.norm.vmin, one.norm.vmax) for one in quads(figure)}
    assert len(quads(figure)) == 2
    assert len(ends) == 1
    ((low, high),) = ends
    plain = comparison().plain.cells[0].loss
    assert low <= np.nanmin(np.where(np.isfinite(plain), plain, np.nan))
    assert "above 10,000:\n2.5\u202f% of cells" in texts(figure)
    assert high == 10_000


def test_a_figure_says_policy_images_centre_and_that_it_is_no_minimum():
    said = " ".join(texts(maps.contours(twin_panels(comparison()))).split())
    for expected in (
        "norms: running statistics frozen · 256 training images",
        "centre: training loss 0.0123, gradient norm 0.0310",
        "centre: training loss 1.92, gradient norm 2.30",
        "no minimum: the gradient’s norm is 2.3",
    ):
        assert expected in said
    assert said.count("no minimum") == 1


def test_on_test_images_the_training_loss_stands_there_too():
    said = " ".join(texts(maps.cells(panels_of(surface(tested=True)))).split())
    assert "1,000 test images centre: test loss 0.310" in said
    assert "training loss at the centre 0.0123" in said


def test_the_path_is_drawn_through_its_points():
    found = traced()
    assert found.trail is not None
    drawn: list[Any] = list(maps.contours(panels_of(found)).axes[0].lines)
    lines = [line for line in drawn if len(line.get_xdata()) == len(found.trail.x)]
    assert len(lines) == 2
    np.testing.assert_allclose(lines[0].get_xydata(), np.column_stack([found.trail.x, found.trail.y]))


def test_a_direction_that_is_no_component_says_how_much_of_the_path_lies_along_it():
    found = replace(surface(), trail=traced().trail)
    assert "Gaussian, seed 0, normalised by filter, 71.0\u202f% of the path’s variance" in texts(
        maps.contours(panels_of(found))
    )
    assert "path’s variance" not in texts(maps.contours(panels_of(traced())))


def test_convexity_has_the_sign_as_its_hue_and_a_line_between_signs():
    """λ = xx where yy is large: −1 in the left column, 2 in the right, one missing."""
    xx = np.array([[-1.0, 2.0], [-1.0, 2.0], [-1.0, np.nan]])
    plane = Plane(rows=(0, 1, 2), columns=(0, 1), xx=xx, xy=0 * xx, yy=0 * xx + 9)
    figure = maps.convexity(panels_of(replace(surface(bowl()[:3, :2]), plane=plane)))
    drawn = quads(figure)[0]
    red, _, blue, _ = drawn.cmap(drawn.norm(-0.01))
    assert red > blue
    red, _, blue, _ = drawn.cmap(drawn.norm(0.01))
    assert blue > red
    (borders,) = [one for one in figure.axes[0].collections if isinstance(one, LineCollection)]
    assert [len(one) for one in borders.get_segments()] == [2, 2]
    assert all(abs(point[0]) < 1e-9 for segment in borders.get_segments() for point in segment)
    assert "60.0\u202f% non-convex" in texts(figure)


def test_errors_are_shares_from_none_to_all():
    drawn = quads(maps.errors(panels_of(surface())))[0]
    assert (drawn.norm.vmin, drawn.norm.vmax) == (0, 1)


def test_the_same_surface_gives_the_same_bytes():
    first, second = (to_svg(maps.contours(panels_of(surface(bowl(9))))) for _ in range(2))
    assert first == second
