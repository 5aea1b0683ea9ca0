"""The loss along the path that training took: at the points themselves, and at their projections into a plane.

The two differ: a projection leaves out all that the plane does not hold, and has the centre's norm statistics or new
ones, never the point's own.
"""

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from residua.diagnostics.case import Case
from residua.diagnostics.landscape.evaluating import question
from residua.diagnostics.landscape.grid import Grid
from residua.diagnostics.landscape.moving import Moving, moving
from residua.errors import BadWeights


def losses_along(
    case: Case,
    states: Iterable[Mapping[str, Tensor]],
    grid: Grid,
    *,
    coordinates: Sequence[tuple[float, ...]],
    policy: str = "frozen",
    images: int | None = 256,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns the true loss of each state, and the loss at its projection; float32, on the images of `survey`.

    The true loss is in evaluation mode with the state's own buffers. The module is left as it was.

    Args:
        case: Its module is the centre; its examples, and not those held out, are what the losses are of.
        states: Parameters and buffers by name, taken one at a time; buffers that a state lacks are the centre's.
        grid: Whose directions the projections are along; its values are not looked at.
        coordinates: Of each state's projection, one number an axis.
        policy: For batch norms at the projections, as in `survey`.
        images: As in `survey`.

    Raises:
        BadWeights: If a state lacks a parameter, or has it in another shape.
        ResiduaError: As `survey` does.
    """
    true, projected = [], []
    with moving(case.module, [axis.direction for axis in grid.axes], case.examples) as moved:
        at_points = question(case, moved, policy="frozen", images=images, names=("train",), precision="float32")
        at_projections = question(case, moved, policy=policy, images=images, names=("train",), precision="float32")
        for state, point in zip(states, coordinates, strict=True):
            _load(moved, state)
            true.append(at_points.measure(moved.module)[0][0])
            moved.to(point)
            projected.append(at_projections.measure(moved.module)[0][0])
    return tuple(true), tuple(projected)


def _load(moved: Moving, state: Mapping[str, Tensor]) -> None:
    moved.to([0.0] * moved.axes)
    named = dict(moved.module.named_parameters())
    for name, one in named.items():
        given = state.get(name)
        if given is None or given.shape != one.shape:
            shape = "nothing" if given is None else f"shape {tuple(given.shape)}"
            raise BadWeights(
                f"a kept state has {shape} for {name}, which is {tuple(one.shape)} in this network; "
                "give the path of the same architecture"
            )
        one.data.copy_(given)
    for name, one in moved.module.named_buffers():
        if name in state:
            one.data.copy_(state[name])
