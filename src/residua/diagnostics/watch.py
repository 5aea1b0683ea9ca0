"""How far each block moves while it learns, at sampled steps of anybody's training loop.

Notation: at a step, of one block, g is the gradient as the optimizer is given it (accumulated, averaged over the
processes, clipped), w the weights before the step and w′ after it. Norms are Euclidean. w holds the tensors of two or
more axes: biases and the scales of norms begin at 0 or 1, and their ratio says nothing.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from residua.diagnostics.case import unwrapped
from residua.diagnostics.motion import BlockMotion, Sample
from residua.diagnostics.parts import block_names
from residua.diagnostics.sampling import Count, Reading, amp_state, learning_rate, looking_after, norms
from residua.diagnostics.trouble import Sign, signs
from residua.errors import BadSetting

EVERY = 10
"""Steps from one sample to the next where nothing else is asked: docs/results/watching.json has what it costs."""


@final
@dataclass(kw_only=True, eq=False)
class _Begun:
    """A sampled step between the optimizer's two hooks."""

    step: int
    """From 1; of the calls of the optimizer's step, where nobody says how many were taken."""
    learning_rate: float | None
    blocks: list[str]
    """Of each tensor that learns."""
    parameters: list[nn.Parameter]
    wide: list[int]
    """Places of the tensors of two or more axes."""
    copies: list[Tensor]
    """Of these, before the step."""
    weights: Tensor
    """Norm of each of them."""
    gradients: Tensor | None = None
    """Norm of each tensor's gradient; None until it is there."""


@final
class Watch:
    """Samples a training loop through the optimizer's hooks; what is trained is the same to the bit.

    Keeps a copy of the weights on their device. Where that is a GPU, no step waits for the numbers: they are read at
    the first step that finds them there, at the latest at the sample after; and before the optimizer's state is taken
    for a checkpoint, so that a checkpoint leaves no sample unread. Parameters that are frozen at a step, and those with
    sparse gradients or complex values, are left out.

    Where nobody says how many steps were taken, it counts those of the optimizer from 1; one that a gradient scaler
    leaves out is none and gives no sample, be the optimizer fused or not. Of a fused one a GPU says it late: the
    samples' numbers are right all the same, but one may be taken that many steps before its turn.

    Example:
        >>> with Watch(module, optimizer) as watched:
        ...     train(module, optimizer)
        >>> watched.signs

    Args:
        module: What learns; wrappers of ``torch.compile`` and of distributed training are looked through.
        optimizer: That holds its parameters, or some of them, others beside them, and others later.
        every: Steps from one sample to the next; the first step is sampled.
        taken: Says before each step how many the training has taken; `every` and the samples go by it.
        told: Takes each sample, instead of its being kept in `samples`.

    Raises:
        BadSetting: If ``every`` is below 1, or the optimizer holds none of the module's parameters.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: Optimizer,
        *,
        every: int = EVERY,
        taken: Callable[[], int] | None = None,
        told: Callable[[Sample], None] | None = None,
    ) -> None:
        if not isinstance(every, int) or every < 1:
            raise BadSetting(f"every is {every!r}; a watch samples every so many steps: a whole number from 1")
        self._module, self._optimizer, self._every = unwrapped(module), optimizer, every
        self._told_taken, self._count, self._samples = taken, Count(), []
        self._told: Callable[[Sample], None] = told or self._samples.append
        self._names: dict[str, str] = {}
        self._copies: dict[nn.Parameter, Tensor] = {}
        self._begun: _Begun | None = None
        self._reading: tuple[_Begun, Reading] | None = None
        self._handles: list[RemovableHandle] = []
        if not self._held():
            name = type(self._module).__name__
            raise BadSetting(f"the optimizer holds none of {name}'s parameters; give the one that trains it")

    def __enter__(self) -> "Watch":
        if self._handles:
            raise BadSetting("this watch runs already; make another one")
        self._handles = [
            self._optimizer.register_step_pre_hook(self._before),
            self._optimizer.register_step_post_hook(self._after),
            self._optimizer.register_state_dict_pre_hook(lambda _optimizer: self._read()),
        ]
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the watch: reads what is not read yet, takes the hooks off, and gives back the memory."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._read()
        self._copies.clear()
        self._begun = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Returns the samples so far."""
        self._read()
        return tuple(self._samples)

    @property
    def rows(self) -> tuple[dict[str, Any], ...]:
        """Returns a row for each step and block: step, block, gradient norm, update-to-weight ratio."""
        return tuple(
            {"step": sample.step, "block": one.block, "gradient": one.gradient, "ratio": one.ratio}
            for sample in self.samples
            for one in sample.blocks
        )

    @property
    def signs(self) -> tuple[Sign, ...]:
        """Returns the signs of trouble, the earliest first."""
        return signs(self.samples)

    def to_json(self) -> dict[str, Any]:
        """Returns the samples and the signs as plain values."""
        return {
            "every": self._every,
            "samples": [sample.to_json() for sample in self.samples],
            "signs": [sign.to_json() for sign in self.signs],
        }

    def _held(self) -> list[tuple[str, nn.Parameter]]:
        """Returns the module's parameters that the optimizer holds now."""
        held = {id(one) for group in self._optimizer.param_groups for one in group["params"]}
        return [(name, one) for name, one in self._module.named_parameters() if id(one) in held]

    def _learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yields the parameters that learn now, with their blocks."""
        for name, parameter in self._held():
            if name not in self._names:
                self._names = block_names(self._module)
            dense = parameter.grad is None or parameter.grad.layout == torch.strided
            if parameter.requires_grad and dense and parameter.is_floating_point():
                yield self._names[name], parameter

    @torch.no_grad()
    def _before(self, _optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Takes the norms of gradients and weights before a step, and copies the weights."""
        self._begun = None
        self._read_if_there()
        if self._is_due():
            self._read()
        if not self._is_due():  # what was read may tell of steps that were left out
            return None
        learning = list(self._learning())
        if not learning:
            return None
        parameters = [parameter for _, parameter in learning]
        wide = [place for place, parameter in enumerate(parameters) if parameter.ndim > 1]
        copies = [self._copy(parameters[place]) for place in wide]
        if copies:
            torch._foreach_copy_(copies, [parameters[place] for place in wide])  # type: ignore[attr-defined]
        begun = self._begun = _Begun(
            step=(self._told_taken() if self._told_taken else self._count.called) + 1,
            learning_rate=learning_rate(self._optimizer),
            blocks=[block for block, _ in learning],
            parameters=parameters,
            wide=wide,
            copies=copies,
            weights=norms(copies, parameters[0].device),
        )
        return looking_after(args, kwargs, lambda: self._take_gradients(begun))

    def _is_due(self) -> bool:
        """Says whether the step that begins is sampled."""
        return (self._told_taken() if self._told_taken else self._count.taken) % self._every == 0

    def _take_gradients(self, begun: _Begun) -> None:
        """Takes the norms of the gradients; those of a closure's first call, which are taken at w."""
        if begun.gradients is None:
            begun.gradients = norms([parameter.grad for parameter in begun.parameters], begun.parameters[0].device)

    @torch.no_grad()
    def _after(self, optimizer: Optimizer, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> None:
        """Takes the norms of the differences after a step, and sends all numbers off together."""
        self._count.add(optimizer)
        begun, self._begun = self._begun, None
        if begun is None:
            return
        self._take_gradients(begun)
        if begun.copies:
            torch._foreach_sub_(begun.copies, [begun.parameters[i] for i in begun.wide])  # type: ignore[attr-defined]
        device = begun.parameters[0].device
        found = [begun.gradients, begun.weights, norms(begun.copies, device)]
        found += [*amp_state(optimizer, device), self._count.left_out(device)]
        everything = torch.cat([one.to(device, torch.float64 if device.type != "mps" else None) for one in found])
        self._reading = begun, Reading(everything)
        self._read_if_there()

    def _copy(self, parameter: nn.Parameter) -> Tensor:
        """Returns the room for a copy of a parameter: the same at every sample, as long as that fits."""
        known = self._copies.get(parameter)
        if known is None or (known.shape, known.device, known.dtype) != (
            parameter.shape,
            parameter.device,
            parameter.dtype,
        ):
            known = self._copies[parameter] = torch.empty_like(parameter, requires_grad=False)
        return known

    def _read_if_there(self) -> None:
        """Makes a sample of the numbers that were sent off, where that waits for nothing."""
        if self._reading is not None and self._reading[1].is_there():
            self._read()

    def _read(self) -> None:
        """Makes a sample of the numbers that were sent off."""
        if self._reading is None:
            return
        (begun, reading), self._reading = self._reading, None
        *values, scale, left_out, all_left_out = reading.values()
        self._count.learn(int(all_left_out))
        if left_out:
            return
        count, wide = len(begun.parameters), len(begun.wide)
        gradients = [value / scale for value in values[:count]]
        weights, updates = [0.0] * count, [0.0] * count
        for place, weight, update in zip(begun.wide, values[count : count + wide], values[count + wide :], strict=True):
            weights[place], updates[place] = weight, update
        self._told(
            Sample(
                step=begun.step if self._told_taken else begun.step - int(all_left_out),
                learning_rate=begun.learning_rate,
                blocks=_by_block(begun.blocks, gradients, weights, updates),
            )
        )


def _by_block(
    blocks: Sequence[str], gradients: Sequence[float], weights: Sequence[float], updates: Sequence[float]
) -> tuple[BlockMotion, ...]:
    """Returns the norms of each block's tensors together, blocks in the order of their first."""
    order = {block: place for place, block in reversed(list(enumerate(blocks)))}
    places = sorted(range(len(blocks)), key=lambda place: order[blocks[place]])
    return tuple(
        BlockMotion(
            block=block,
            gradient=_together([gradients[place] for place in group]),
            weights=_together([weights[place] for place in group]),
            update=_together([updates[place] for place in group]),
        )
        for block, members in groupby(places, key=lambda place: blocks[place])
        if (group := list(members))
    )


def _together(parts: Sequence[float]) -> float | None:
    """Returns √Σ x² to six digits; None where that is no finite number."""
    found = math.hypot(*parts)
    return float(f"{found:.6g}") if math.isfinite(found) else None
