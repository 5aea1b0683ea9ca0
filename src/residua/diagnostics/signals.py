"""How the signal travels forward: the stream's mean and variance, dead and saturated units, norms that are off.

All statistics are of channels (`residua.diagnostics.channels`), over examples and positions, in float64.
"""

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.additions import Addition
from residua.diagnostics.case import Case, reseed, undisturbed
from residua.diagnostics.channels import Channels
from residua.diagnostics.operations import Operation
from residua.diagnostics.saturation import bounds, dead, is_saturated
from residua.diagnostics.trace import Trace, trace

_BATCH_NORM = signature(functional.batch_norm)


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
    kind: Literal["identity", "free", "projection"] = "identity"
    """Of the shortcut: where it projects, the variance starts anew."""
    branch_variance: float = math.nan
    """Channel variance of F(x), mean over the channels."""
    shortcut_variance: float = math.nan
    """Of s(x), which at an identity is that of the stream as it arrives: v₀ at the first block."""


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
    """Running variance over the examples' variance, median over the channels. Here and above the norm's ε is added to
    variances, as it is in the norm, so that a dead channel does not divide by zero."""
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
    """Of all numbers that the module is given: those with fractions, where some are."""
    output_deviation: float
    """Of the outputs."""
    is_finite: bool
    """Whether every operation gave finite numbers; −∞ is let pass where no layer, norm, activation or addition gives
    it, for attention masks with it."""
    first_bad: str | None
    """Module path of the first that did not, or the function's name outside of modules; ``input``."""
    are_probabilities: bool
    """Whether the outputs are not negative and sum to one: a softmax before a loss that applies its own."""
    stream: tuple[StreamPlace, ...]
    activations: tuple[ActivationPlace, ...]
    norms: tuple[NormPlace, ...]
    layer_deviations: tuple[tuple[str, float], ...]
    """Standard deviation of each weighted layer's output, by module path, in order."""
    has_whole_numbers: bool = False
    """Whether the inputs are whole numbers alone, such as tokens, whose mean and deviation mean little."""
    has_norms: bool = False
    """Whether the pass met a norm of any kind; ``norms`` holds batch norms alone."""


def signals(case: Case, *, size: int = 64) -> Signals:
    """Measures one forward pass of the first ``size`` examples in training mode.

    A module that is given in evaluation mode is put into training mode as a whole; in one that trains, the parts that
    are in evaluation mode stay so. The module is left as it was.

    Raises:
        BadNetwork: If the forward pass fails.
    """
    examples = case.examples.take(slice(0, size))
    given = _numbers_given((*examples.args, *examples.named.values()))
    with undisturbed(case.module) as module:
        reseed(case.device, 0)  # of dropout
        if not module.training:
            module.train()
        seen = _Seen(module)
        found = trace(module, examples, look=seen.look, meet=seen.meet)
    numbers = torch.cat([_exact(one).flatten() for one in given])
    first_bad = seen.first_bad if bool(numbers.isfinite().all()) else "input"
    if first_bad is None and not bool(found.answer.isfinite().all()):
        first_bad = found.operations[-1].module or "forward"
    return Signals(
        input_mean=float(numbers.mean()),
        input_deviation=_deviation(numbers),
        output_deviation=_deviation(found.answer),
        is_finite=first_bad is None,
        first_bad=first_bad,
        are_probabilities=_are_probabilities(found.answer.detach()),
        stream=_named(found, seen.stream),
        activations=_numbered(seen.activations),
        norms=tuple(seen.norms),
        layer_deviations=tuple(seen.layers),
        has_whole_numbers=not any(one.is_floating_point() for one in given),
        has_norms=seen.has_norms,
    )


@dataclass(eq=False)
class _Seen:
    """Takes the statistics of each operation when it happens; no value is kept."""

    module: nn.Module
    channels: Channels = field(default_factory=Channels)
    stream: list[StreamPlace] = field(default_factory=list)
    activations: list[ActivationPlace] = field(default_factory=list)
    norms: list[NormPlace] = field(default_factory=list)
    layers: list[tuple[str, float]] = field(default_factory=list)
    first_bad: str | None = None
    has_norms: bool = False

    def __post_init__(self) -> None:
        # Copied, for a norm counts and averages the pass before it is looked at.
        self._before = {id(one): one.detach().clone() for one in self.module.buffers()}

    def meet(self, addition: Addition, branch: Tensor, shortcut: Tensor, output: Tensor) -> None:
        """Measures the stream at an addition."""
        axis = self.channels.meet(addition, output)
        (mean, variance), (_, of_branch), (_, of_shortcut) = (
            _channel_statistics(one, axis) for one in (output, branch, shortcut)
        )
        moments = [float(_exact(one).square().sum()) for one in (branch, shortcut)]
        self.stream.append(
            StreamPlace(
                name=addition.name,
                squared_mean=float(mean.square().mean()),
                variance=float(variance.mean()),
                share_of_moment=_share(*moments),
                share_of_variance=_share(float(of_branch.mean()), float(of_shortcut.mean())),
                kind=addition.kind,
                branch_variance=float(of_branch.mean()),
                shortcut_variance=float(of_shortcut.mean()),
            )
        )

    def look(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        """Measures a layer, a norm or an activation."""
        axis = self.channels.look(operation, args, output)
        name = operation.module or operation.op
        self.has_norms |= operation.kind == "norm"
        if self.first_bad is None and _is_bad(operation, output):
            self.first_bad = name
        if operation.kind == "layer":
            self.layers.append((name, _deviation(output)))
        elif operation.kind == "activation":
            self.activations.append(_activation(name, operation.op.rstrip("_"), bounds(args, kwargs), output, axis))
        elif operation.op == "batch_norm":
            self._batch_norm(operation, args, kwargs)

    def _batch_norm(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(args) + len(kwargs) > len(_BATCH_NORM.parameters):
            return  # `torch.batch_norm`, which takes others
        called = _BATCH_NORM.bind(*args, **kwargs)
        called.apply_defaults()
        read, *running, _, _, is_training, _, epsilon = called.args
        before = [self._before[id(one)] for one in running if id(one) in self._before]
        if len(before) < 2:
            return
        expected_mean, expected = map(_exact, before)
        mean, variance = _channel_statistics(read, axis=1, correction=1)
        counted = getattr(self.module.get_submodule(operation.module), "num_batches_tracked", None)
        tracked = self._before.get(id(counted)) if isinstance(counted, Tensor) else None
        self.norms.append(
            NormPlace(
                name=operation.module,
                mean_shift=float(((expected_mean - mean).abs() / (variance + epsilon).sqrt()).mean()),
                variance_ratio=float(((expected + epsilon) / (variance + epsilon)).quantile(0.5)),
                tracked=None if tracked is None else int(tracked),
                in_eval=not is_training,
            )
        )


def _exact(tensor: Tensor) -> Tensor:
    """Returns the values in float64, or in float32 where the device has no more."""
    return tensor.detach().to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def _deviation(tensor: Tensor) -> float:
    return float(_exact(tensor).std(correction=0))


def _channel_statistics(tensor: Tensor, axis: int, correction: int = 0) -> tuple[Tensor, Tensor]:
    """Returns mean and variance of each channel, over examples and positions: [c] and [c]."""
    rows = _exact(tensor).movedim(axis, 0).flatten(1)
    variance, mean = torch.var_mean(rows, dim=1, correction=min(correction, rows.shape[1] - 1))
    return mean, variance


def _share(branch: float, shortcut: float) -> float:
    return branch / (branch + shortcut) if branch + shortcut > 0 else 0.0


def _numbers_given(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns the inputs with fractions; all where none has."""
    return tuple(one for one in tensors if one.is_floating_point()) or tensors


def _is_bad(operation: Operation, output: Tensor) -> bool:
    values = output.detach()
    if bool(values.isfinite().all()):
        return False
    return operation.kind != "other" or bool((values.isnan() | values.isposinf()).any())


def _are_probabilities(answer: Tensor) -> bool:
    """Says whether the outputs of each example are at least 0 and sum to 1 over the second or the last axis."""
    if answer.dim() < 2 or bool((answer < 0).any()):
        return False
    axes = [axis for axis in {1, answer.dim() - 1} if answer.shape[axis] > 1]
    return any(bool(((answer.double().sum(axis) - 1).abs() < 1e-3).all()) for axis in axes)


def _activation(name: str, op: str, hard: tuple[float, float], output: Tensor, axis: int) -> ActivationPlace:
    values = output.detach().movedim(axis, 0).flatten(1)
    saturated = float(is_saturated(op, *hard, values).double().mean())
    return ActivationPlace(name=name, op=op, units=len(values), dead=dead(op, hard[0], values), saturated=saturated)


def _named(found: Trace, stream: list[StreamPlace]) -> tuple[StreamPlace, ...]:
    """Gives the places their additions' names, which are known after the pass."""
    return tuple(replace(place, name=one.name) for place, one in zip(stream, found.additions, strict=True))


def _numbered(places: list[ActivationPlace]) -> tuple[ActivationPlace, ...]:
    """Numbers the activations that one module calls several times."""
    calls, met = Counter(one.name for one in places), Counter()
    numbered = []
    for one in places:
        met[one.name] += 1
        numbered.append(replace(one, name=f"{one.name} #{met[one.name]}") if calls[one.name] > 1 else one)
    return tuple(numbered)
