"""How the signal travels forward: the stream's mean and variance, dead and saturated units, norms that are off."""

from dataclasses import dataclass
from typing import final

from residua.diagnostics.case import Case


@final
@dataclass(frozen=True, kw_only=True)
class StreamPlace:
    """The stream behind one addition (De and Smith 2020; Brock et al. 2021)."""

    name: str
    squared_mean: float
    """Of a channel over examples and positions, mean over the channels."""
    variance: float
    """Likewise."""
    share_of_moment: float
    """The branch's part of the second moment: Σ F² / (Σ F² + Σ s²)."""
    share_of_variance: float
    """The branch's part of the channel variance: var F / (var F + var s), mean over the channels of each first."""
    predicted_variance: float | None = None
    predicted_share: float | None = None
    """Of ``share_of_variance``."""


@final
@dataclass(frozen=True, kw_only=True)
class ActivationPlace:
    """The units of one activation: channels, or numbers of a vector."""

    name: str
    op: str
    units: int
    dead: float
    """Share of the units that are zero for all examples and positions (ReLU and its kin)."""
    saturated: float
    """Share of all outputs where the derivative is below a twentieth of its largest (sigmoid, tanh and their kin)."""


@final
@dataclass(frozen=True, kw_only=True)
class NormPlace:
    """A batch norm's running statistics beside those of the examples."""

    name: str
    mean_shift: float
    """|running mean − mean| over the standard deviation of the examples, mean over the channels."""
    variance_ratio: float
    """Running variance over the examples' variance, median over the channels."""
    tracked: int | None
    """Batches that the statistics are from; 0: never trained; None where not counted."""
    in_eval: bool
    """Whether it is in evaluation mode while the module is in training mode."""


@final
@dataclass(frozen=True, kw_only=True)
class Signals:
    """What one forward pass shows."""

    input_mean: float
    input_deviation: float
    """Of all numbers that the module is given."""
    output_deviation: float
    """Of the outputs."""
    is_finite: bool
    """Whether every operation gave finite numbers."""
    first_bad: str | None
    """Module path of the first that did not."""
    are_probabilities: bool
    """Whether the outputs are not negative and sum to one: a softmax before a loss that applies its own."""
    stream: tuple[StreamPlace, ...]
    activations: tuple[ActivationPlace, ...]
    norms: tuple[NormPlace, ...]
    layer_deviations: tuple[tuple[str, float], ...]
    """Standard deviation of each weighted layer's output, by module path, in order."""


def signals(case: Case, *, size: int = 64) -> Signals:
    raise NotImplementedError
