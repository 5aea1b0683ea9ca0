"""Surfaces and curvatures by formula, such as networks might give; none was measured."""

from dataclasses import replace
from math import exp, pi, sqrt

import numpy as np
import torch

from residua.diagnostics.curvature.curvature import Curvature
from residua.diagnostics.curvature.density import Density
from residua.diagnostics.landscape.comparison import Comparison, Row
from residua.diagnostics.landscape.directions import Direction
from residua.diagnostics.landscape.grid import Axis, Grid
from residua.diagnostics.landscape.surface import Cells, Centre, Numbers, Plane, Precision, Surface, Trail
from residua.diagnostics.measured import Measured

SIDE = 25
STEPS = tuple(range(0, 1300, 100))


def axis(number: int, *, points: int = SIDE, kind: str = "random", reach: float = 1.0) -> Axis:
    says = {
        "random": f"Gaussian, seed {number}, normalised by filter",
        "pca": f"{('first', 'second')[number]} principal component, {(71, 18)[number]} % of the path",
    }[kind]
    vector = torch.zeros(4)
    direction = Direction(kind=kind, says=says, vector=vector, normalisation="filter", seed=number)  # type: ignore[arg-type]
    return Axis(direction=direction, values=tuple(np.linspace(-reach, reach, points).tolist()))


def centre(loss: float = 0.0123, *, is_minimum: bool = True) -> Centre:
    says = (
        "near a minimum"
        if is_minimum
        else "no minimum: the gradient’s norm is 2.3, a step of 0.01 lowers the loss by 4 %"
    )
    return Centre(loss=loss, error=0.004, gradient_norm=0.031 if is_minimum else 2.3, says=says, is_minimum=is_minimum)


def bowl(side: int = SIDE, *, depth: float = 0.0123, steep: float = 6.0) -> np.ndarray:
    """A smooth bowl whose loss rises by the square and is 0.0123 at its centre."""
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    return depth + steep * (x**2 + 0.6 * y**2 + 0.3 * x * y)


def rough(side: int = SIDE, *, seed: int = 0) -> np.ndarray:
    """Hills over four decades, with a few losses that overflow."""
    random = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    hills = sum(
        random.normal() * np.sin(a * x * pi + b) * np.sin(c * y * pi + d)
        for a, b, c, d in random.uniform(0.5, 3.5, (14, 4))
    )
    loss = 1.9 * np.exp(1.6 * hills * np.sqrt(x**2 + y**2) + 3.4 * (x**2 + y**2))
    loss[-2:, -3:] = np.inf
    loss[1, 1] = 4.4e6
    return loss


def plane(table: np.ndarray) -> Plane:
    """Second differences of a table, every second row and column."""
    dy, dx = np.gradient(np.where(np.isfinite(table), table, np.nan))
    (xy, xx), (yy, _) = np.gradient(dx), np.gradient(dy)
    rows, columns = (tuple(range(0, size, 2)) for size in table.shape)
    at = np.ix_(rows, columns)
    return Plane(rows=rows, columns=columns, xx=100 * xx[at], xy=100 * xy[at], yy=100 * yy[at])


def trail() -> Trail:
    shares = [step / STEPS[-1] for step in STEPS]
    return Trail(
        x=tuple(-0.9 * exp(-4 * share) + 0.9 * exp(-4) * share for share in shares),
        y=tuple(0.5 * exp(-6 * share) * (1 - share) * 1.6 for share in shares),
        true_loss=tuple(0.0123 + 2.3 * exp(-5 * share) for share in shares),
        projected_loss=tuple(0.0123 + 4.9 * exp(-4 * share) for share in shares),
        explained=(0.71, 0.18),
        steps=STEPS,
    )


def numbers(
    median: float = 4.05, near: float = 0.24, non_convex: float | None = 0.03, roughness: float = 0.12
) -> Numbers:
    return Numbers(median=float(median), near=near, non_convex=non_convex, roughness=roughness)


def surface(
    loss: np.ndarray | None = None, *, name: str = "cifar10-resnet56-1", kind: str = "random", tested: bool = False
) -> Surface:
    table = bowl() if loss is None else loss
    axes = tuple(axis(number, points=size, kind=kind) for number, size in enumerate(table.shape[::-1]) if size > 1)
    wrong = 0.9 * (1 - np.exp(-np.where(np.isfinite(table), table, 50.0)))
    wrong[np.isnan(table)] = np.nan
    cells = [Cells(part="train", images=256, loss=table, error=wrong, centre=centre())]
    if tested:
        cells.append(
            Cells(part="test", images=1000, loss=table * 1.2 + 0.3, error=wrong, centre=centre(0.31, is_minimum=False))
        )
    return Surface(
        name=name,
        grid=Grid(axes=axes),
        policy="frozen",
        cells=tuple(cells),
        precision=Precision(name="bfloat16", cells=15, median=0.0016, worst=0.012),
        loss_name="cross-entropy of the logits",
        plane=plane(table) if len(axes) == 2 else None,
        numbers=numbers(),
        seconds=312.0,
        folded=55,
    )


def line(points: int = 61) -> Surface:
    x = np.linspace(-1, 1, points)
    return surface((0.0123 + 9 * x**2 + 1.5 * x**4)[None, :], tested=True)


def traced() -> Surface:
    return replace(surface(kind="pca"), trail=trail())


def partial() -> Surface:
    """Every second row is still to come, and half of the last."""
    table = bowl()
    table[1::2] = np.nan
    table[-1, SIDE // 2 :] = np.nan
    return replace(surface(table), numbers=None, plane=None)


def comparison() -> Comparison:
    plain = replace(surface(rough(), name="cifar10-plain56-1"), numbers=numbers(795, 0.01, 0.38, 2.9))
    plain = replace(plain, cells=(replace(plain.cells[0], centre=centre(1.92, is_minimum=False)),))
    seeds = (1, 2, 3)

    def row(twin, policy, *medians):
        found = tuple(numbers(median, 1 / (4 + median), 0.02 * sqrt(median), median / 30) for median in medians)
        shape, images = ((SIDE, SIDE), 256) if policy == "frozen" else ((9, 9), 256)
        return Row(twin=twin, policy=policy, seeds=seeds, numbers=found, shape=shape, images=images)

    return Comparison(
        residual=surface(),
        plain=plain,
        rows=(
            row("residual", "frozen", 4.05, 3.8, 4.4),
            row("plain", "frozen", 795, 310, 1210),
            row("residual", "recalibrated", 1.8, 1.9, 2.2),
            row("plain", "recalibrated", 2.5, 2.1, 2.6),
        ),
    )


def curvature() -> Curvature:
    places = np.linspace(-8, 70, 500)
    nodes = [(-3.0, 0.01), (0.0, 0.95), (1.5, 0.03), (31.0, 0.004), (44.0, 0.003), (62.0, 0.003)]
    width = 0.6
    density = sum(mass / (width * sqrt(2 * pi)) * np.exp(-(((places - at) / width) ** 2) / 2) for at, mass in nodes)
    tops = (62.0, 44.0, 31.0, 22.0, 15.0)
    return Curvature(
        name="cifar10-resnet56-1",
        parameters=855_770,
        images=512,
        draws=4,
        policy="frozen",
        top=tuple(Measured((0.7 * top, top, 1.05 * top, 1.9 * top)) for top in tops),
        lowest=Measured((-3.1, -2.6, -4.0, -2.2)),
        trace=Measured((410.0, 395.0, 512.0, 360.0)),
        trace_error=21.0,
        density=Density(
            eigenvalues=tuple(places.tolist()), density=tuple(np.asarray(density).tolist()), width=width, negative=0.31
        ),
        gradient_norm=Measured((0.031, 0.04, 0.027, 0.05)),
        loss=Measured((0.012, 0.013, 0.011, 0.017)),
        products=640,
        seconds=148.0,
    )
