"""The loss and the error of a module as it stands, on fixed images, under a policy for its batch norms."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, isnan
from typing import Any, final

import torch
from torch import Tensor, nn

from residua import machine
from residua.diagnostics.case import Case, Examples, answer, as_passes, reseed, run
from residua.diagnostics.landscape.moving import Moving, channels_last
from residua.diagnostics.landscape.surface import Policy
from residua.diagnostics.recalibration import recalibrated
from residua.diagnostics.refusals import IGNORED
from residua.errors import BadData, BadSetting, unknown
from residua.machine import Precision
from residua.networks.recalibration import batch_norms

POLICIES: tuple[Policy, ...] = ("frozen", "batch", "recalibrated")
_PRECISIONS = ("float32", "bfloat16")
_SEED = 0
"""Of the images that are drawn, and of modules that draw in evaluation mode."""
_ON_PROCESSOR, _ON_GPU = 128, 1024
"""Images at a time under frozen statistics. resnet20 at 32×32 on two busy cores: 64 take a tenth longer than 128; on an
accelerator, which more images fill, nothing has been measured."""
_OF_STATISTICS = 128
"""Images at a time where they make the statistics: the same on every machine, because the loss depends on it."""
Measurement = tuple[float, float | None]
"""Loss, mean over the images, inf where it is no number; share of images that are wrong, None without classes."""


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Fixed images, on the device, in batches of nearly one size."""

    name: str
    batches: tuple[Examples, ...]
    available: int
    """How many there were to draw from."""

    @property
    def images(self) -> int:
        """Returns how many there are."""
        return sum(map(len, self.batches))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What is asked of a module wherever it stands."""

    case: Case
    parts: tuple[Part, ...]
    """The first makes the statistics that are taken anew."""
    policy: Policy
    precision: Precision
    has_classes: bool
    """Whether labels are classes and outputs logits, so that there is an error."""

    def measure(self, module: nn.Module) -> tuple[Measurement, ...]:
        """Returns loss and error on each part. Draws alike each time; buffers may be written."""
        reseed(self.case.device, _SEED)
        with torch.no_grad(), self.ready(module):
            return tuple(self._on(module, part) for part in self.parts)

    @contextlib.contextmanager
    def ready(self, module: nn.Module) -> Iterator[None]:
        """Sets up a module's norms as the policy has it: only while that lasts where statistics are taken anew."""
        module.eval()
        if self.policy == "recalibrated":
            with recalibrated(module, self.parts[0].batches, self._without_gradients):
                yield
            return
        if self.policy == "batch":
            for norm in batch_norms(module):
                norm.train()
        yield

    def loss_of(self, module: nn.Module, batch: Examples) -> tuple[Tensor, Any]:
        """Returns the loss of one batch, mean over its images, and what the module gave."""
        with self._computing():
            given = run(module, batch)
        given = given if self.precision == "float32" else _in_float32(given)
        return self.case.loss(given, batch.labels), given

    def weight(self, batch: Examples) -> int:
        """Returns how many images the batch's mean is over: torch's cross-entropy leaves those without a label out."""
        return int((batch.labels != IGNORED).sum()) if self.has_classes else len(batch)

    def _computing(self) -> contextlib.AbstractContextManager[Any]:
        return nullcontext() if self.precision == "float32" else machine.computing_in(self.precision, self.case.device)

    @contextlib.contextmanager
    def _without_gradients(self) -> Iterator[None]:
        with torch.no_grad(), self._computing():
            yield

    def _on(self, module: nn.Module, part: Part) -> Measurement:
        total, wrong, images = 0.0, 0.0, 0
        for batch in part.batches:
            loss, given = self.loss_of(module, batch)
            weight = self.weight(batch)
            images += weight
            if weight:
                total += loss.double() * weight
            if self.has_classes:
                wrong += ((answer(given).argmax(1) != batch.labels) & (batch.labels != IGNORED)).sum()
        loss = float(total) / max(images, 1)
        return (float("inf") if isnan(loss) else loss), (float(wrong) / max(images, 1) if self.has_classes else None)


def question(
    case: Case,
    moved: Moving,
    *,
    policy: str,
    images: int | None,
    names: Sequence[str],
    precision: str | None,
) -> Question:
    """Returns what is asked, with the images drawn and on the device.

    Args:
        case: Its examples are the first part, its held-out ones, where it has any, the second.
        moved: Its module.
        policy: For batch norms.
        images: Of each part, drawn with a fixed seed; None takes all.
        names: Of the two parts.
        precision: None takes bfloat16 where the machine computes it natively and the module can.

    Raises:
        BadSetting: If there is no such policy or precision, or no images are asked for.
        BadData: If there are none.
        BadNetwork: If the forward pass fails, with what it said.
    """
    chosen: Policy | None = next((one for one in POLICIES if one == policy), None)
    if chosen is None:
        raise BadSetting(unknown("policy for norms", policy, POLICIES))
    found = [(name, one) for name, one in zip(names, (case.examples, case.held_out), strict=False) if one is not None]
    size = _OF_STATISTICS if chosen != "frozen" else _ON_GPU if case.device.type == "cuda" else _ON_PROCESSOR
    parts = tuple(part_of(name, one, images, size=size, device=case.device) for name, one in found)
    if moved.channels_last:
        parts = tuple(replace(part, batches=tuple(map(channels_last, part.batches))) for part in parts)
    with torch.no_grad(), as_passes(moved.module):
        two = parts[0].batches[0].take(slice(0, 2))
        given = run(moved.module, two)
    return Question(
        case=case,
        parts=parts,
        policy=chosen,
        precision=_precision(case, given, precision) if precision or _passes(moved.module, two) else "float32",
        has_classes=_are_classes(case, given),
    )


def part_of(name: str, examples: Examples, images: int | None, *, size: int, device: torch.device) -> Part:
    """Returns some of the examples, drawn with a fixed seed, in their order, on the device, in batches of about a size.

    Raises:
        BadSetting: If fewer than one is asked for.
        BadData: If there is none.
    """
    if images is not None and images < 1:
        raise BadSetting(f"images is {images}; give how many of a part are looked at, 1 at least, such as 256")
    if not len(examples):
        raise BadData(f"the {name} part has no images; give some that the loss is of")
    chosen = examples
    if images is not None and images < len(examples):
        generator = torch.Generator().manual_seed(_SEED)
        chosen = examples.take(torch.randperm(len(examples), generator=generator)[:images].sort().values)
    chosen, count = chosen.to(device), ceil(len(chosen) / size)
    bounds = [round(len(chosen) * place / count) for place in range(count + 1)]
    batches = (chosen.take(slice(low, high)) for low, high in pairwise(bounds))
    return Part(name=name, batches=tuple(batches), available=len(examples))


def _precision(case: Case, given: Any, asked: str | None) -> Precision:
    """Returns float32 where a module computes in float64, or gives what this room cannot bring back to float32."""
    if asked is not None and asked not in _PRECISIONS:
        raise BadSetting(unknown("precision of a surface", asked, _PRECISIONS))
    if asked is not None:
        return machine.precision(asked, case.device)
    floats = {one.dtype for one in case.module.parameters() if one.is_floating_point()}
    can = floats == {torch.float32} and (isinstance(given, Tensor) or case.is_cross_entropy)
    return machine.precision("auto", case.device) if can else "float32"


def _passes(module: nn.Module, two: Examples) -> bool:
    """Says whether the forward pass works in bfloat16, which not every operation does."""
    device = two.args[0].device if two.args else next(iter(two.named.values())).device
    try:
        with torch.no_grad(), machine.computing_in("bfloat16", device):
            run(module, two)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    return True


def _are_classes(case: Case, given: Any) -> bool:
    labels, first = case.examples.labels, answer(given)
    whole = isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point()
    if not whole or first.dim() != 2 or first.shape[1] < 2:
        return False
    known = labels[labels != IGNORED]
    return bool(len(known)) and int(known.min()) >= 0 and int(known.max()) < first.shape[1]


def _in_float32(given: Any) -> Any:
    return given.float() if isinstance(given, Tensor) else answer(given).float()
