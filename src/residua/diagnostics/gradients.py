"""How the gradient changes on its way from the loss back to the input."""

from dataclasses import dataclass
from typing import Literal, final

from residua.diagnostics.case import Case
from residua.diagnostics.measured import Measured
from residua.diagnostics.predictions import Prediction


@final
@dataclass(frozen=True, kw_only=True)
class GradientPlace:
    """The gradient at one place of the forward pass."""

    name: str
    """Of the addition, or the module path of the layer."""
    kind: Literal["layer", "addition"]
    layers_before: int
    """Weighted layers that the place depends on, its own included: its depth."""
    stream: Measured
    """Norm of the gradient of an example's loss by the output here (of an addition: by y = F(x) + s(x)): root mean
    square over the examples of a batch, so that it does not depend on the batch's size."""
    source: Measured | None = None
    """Of an addition: norm of the whole gradient by the block's input x."""
    branch: Measured | None = None
    """Of an addition: norm of J_Fᵀ g, what the branch brings to x of the gradient g by y."""
    shortcut: Measured | None = None
    """Of an addition: norm of J_sᵀ g, what the shortcut brings; that of g itself where it is the identity."""
    weights: Measured | None = None
    """Of a layer: norm of the mean loss's gradient by its own parameters over the norm of these."""


@final
@dataclass(frozen=True, kw_only=True)
class GradientFlow:
    """The gradient's norm by depth, on several batches."""

    places: tuple[GradientPlace, ...]
    """In the order of the forward pass."""
    along: Literal["additions", "layers"]
    """Which places the fit and the ratio are over: the additions where there are three or more, else the layers."""
    per_layer: float
    """Factor by which the norm changes a layer on the way back (below 1: it decays towards the input), by a robust fit
    (Theil–Sen) of its logarithm over the depth."""
    per_layer_interval: tuple[float, float]
    """95 % interval of the fit's slope."""
    layers: int
    """Weighted layers from the first place of the fit to the last."""
    ratio: Measured
    """Norm at the first of these places over that at the last: ‖∂L/∂x₀‖ / ‖∂L/∂x_L‖."""
    prediction: Prediction | None
    """Of the ratio."""
    no_prediction: str
    """Why there is none: the first condition that fails; empty where there is one."""
    as_theory: bool | None
    """Whether ln(ratio)/L is as predicted within the stated tolerance; None where nothing is predicted."""
    is_healthy: bool
    """Whether the ratio lets all layers learn at one rate: another question than what theory says."""
    examples: int
    """In a batch."""


def gradient_flow(case: Case, *, size: int = 64, batches: int = 3) -> GradientFlow:
    raise NotImplementedError
