"""What a diagnosis looks at: a module, examples, a loss; and how the module comes back as it was.

Notation: n examples, k classes.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from residua.diagnostics.refusals import require_classes, require_number, require_own, require_values
from residua.errors import BadData, BadNetwork, BadSetting

Loss = Callable[[Any, Any], Tensor]
"""Takes what the module gives and the labels, and returns one number: the mean over the examples."""
_LINEAR_SEED = 0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """What a module is given, and the labels; the first axis of every tensor is the examples'."""

    args: tuple[Tensor, ...] = ()
    named: Mapping[str, Tensor] = field(default_factory=dict)
    labels: Any = None

    def __len__(self) -> int:
        return len(next(iter((*self.args, *self.named.values()))))

    def take(self, places: slice | Tensor) -> "Examples":
        """Returns some of the examples."""
        labels = _each(self.labels, lambda tensor: tensor[places])
        named = {name: tensor[places] for name, tensor in self.named.items()}
        return replace(self, args=tuple(tensor[places] for tensor in self.args), named=named, labels=labels)

    def batches(self, size: int, most: int | None = None) -> "tuple[Examples, ...]":
        """Returns whole batches of one size, at most so many, at least one; the rest is left out."""
        count = max(1, len(self) // size)
        return tuple(
            self.take(slice(i * size, (i + 1) * size)) for i in range(count if most is None else min(count, most))
        )

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Examples":
        """Returns the examples elsewhere; ``dtype`` is for the inputs with fractions alone."""

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device, dtype if tensor.is_floating_point() else None)

        labels = _each(self.labels, lambda tensor: tensor.to(device))
        named = {name: moved(tensor) for name, tensor in self.named.items()}
        return replace(self, args=tuple(map(moved, self.args)), named=named, labels=labels)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What is to be diagnosed."""

    name: str
    module: nn.Module
    """Without the wrappers of ``torch.compile`` and of distributed training."""
    examples: Examples
    """That it learns from, or is measured on."""
    loss: Loss
    loss_name: str
    """For the page: which loss it is, and whose choice that was."""
    is_cross_entropy: bool = False
    """Whether it is the cross-entropy of logits [n, k] against whole-number labels."""
    held_out: Examples | None = None
    """That it does not learn from."""
    optimizer: Optimizer | None = None
    remarks: tuple[str, ...] = ()
    """What had to be done to look at the module at all, a sentence each."""

    @property
    def device(self) -> torch.device:
        """Returns where the module is."""
        return device_of(self.module)

    def loss_of(self, examples: Examples) -> Tensor:
        """Runs the module on examples in its own mode and returns the loss, mean over them."""
        return self.loss(run(self.module, examples), examples.labels)

    @property
    def classes(self) -> int | None:
        """Returns how many logits there are; None where the loss is no cross-entropy of the library's choosing."""
        if not self.is_cross_entropy:
            return None
        with undisturbed(self.module), torch.no_grad():
            return answer(run(self.module.eval(), self.examples.take(slice(0, 2)))).shape[1]


def opened(
    module: nn.Module,
    images: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor],
    labels: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    held_out: tuple[Any, Any] | None = None,
    name: str | None = None,
) -> Case:
    """Returns the case, once a forward pass on two examples has worked.

    Args:
        module: Any module; wrappers of ``torch.compile`` and of distributed training are looked through.
        images: Its inputs: a tensor; a tuple, for a forward of several; a mapping, for one by name.
        labels: Of the examples; what ``loss`` takes.
        loss: Returns the mean over the examples; None takes the cross-entropy where outputs are logits [n, k] and
            labels whole numbers, else a fixed linear functional of the outputs, drawn with a seed.
        optimizer: That the module learns with, for the questions about its steps.
        held_out: Inputs and labels that it does not learn from.
        name: For titles; None takes the class's.

    Raises:
        BadData: If there are fewer than two examples, not as many labels, or a label that no logit is for.
        BadSetting: If the loss does not give one number, or the optimizer holds none of the module's parameters.
        BadNetwork: If the forward pass fails, with what it said, or gives no tensor; or if lazy layers wait for one.
    """
    inside = unwrapped(module)
    require_values(inside)
    require_own(optimizer, inside)
    device = device_of(inside)
    examples, kept = _examples(images, labels).to(device), _unseen(held_out)
    two = examples.take(slice(0, 2))
    with undisturbed(inside), torch.no_grad(), as_passes(inside):
        first = run(inside, two)
    chosen, said, is_cross_entropy = _loss_for(answer(first), examples.labels, loss)
    require_number(chosen, first, two.labels)
    if kept is not None and is_cross_entropy:
        require_classes(kept.labels, answer(first))
    remarks = () if inside is module else ("The wrapper around the module was looked through.",)
    return Case(
        name=name or type(inside).__name__,
        module=inside,
        examples=examples,
        loss=chosen,
        loss_name=said,
        is_cross_entropy=is_cross_entropy,
        held_out=None if kept is None else kept.to(device),
        optimizer=optimizer,
        remarks=remarks,
    )


def run(module: nn.Module, examples: Examples) -> Any:
    """Returns what the module gives for the examples, in its own mode; a forward may write into what it is given."""
    args = [one.clone() for one in examples.args]
    return module(*args, **{name: one.clone() for name, one in examples.named.items()})


def answer(output: Any) -> Tensor:
    """Returns the logits, or the first tensor with fractions, of what a module gives.

    Raises:
        BadNetwork: If there is none.
    """
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    inside = output.values() if isinstance(output, Mapping) else output if isinstance(output, (tuple, list)) else ()
    for one in inside:
        with contextlib.suppress(BadNetwork):
            return answer(one)
    raise BadNetwork(f"the forward pass gives a {type(output).__name__} without a tensor in it; return the logits")


def unwrapped(module: nn.Module) -> nn.Module:
    """Returns the module inside the wrappers of ``torch.compile``, `DataParallel` and `DistributedDataParallel`."""
    while True:
        if isinstance(inside := getattr(module, "_orig_mod", None), nn.Module):
            module = inside
        elif isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            module = module.module
        else:
            return module


def device_of(module: nn.Module) -> torch.device:
    """Returns where the module's first parameter or buffer is; the processor where it has none."""
    return next((tensor.device for tensor in (*module.parameters(), *module.buffers())), torch.device("cpu"))


@contextlib.contextmanager
def undisturbed(module: nn.Module) -> Iterator[nn.Module]:
    """Puts back what measuring may move: modes, buffers, gradients, what needs one, and the random states.

    Parameters are not copied: nothing within may write them. Buffers keep their storage, gradients their tensor.
    """
    modes = [(one, one.training) for one in module.modules()]
    buffers = [(one, one.detach().clone()) for one in module.buffers()]
    python = [one for one in module.modules() if not isinstance(one, torch.jit.ScriptModule)]
    held = [(one, dict(one._buffers)) for one in python]  # a forward may put another tensor there
    gradients = [(one, one.grad, one.requires_grad) for one in module.parameters()]
    on_gpu = [one.device for one in module.parameters() if one.device.type == "cuda"][:1]
    drawn = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=on_gpu):
            for one, _, _ in gradients:
                one.grad = None
            yield module
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        for one, training in modes:
            one.training = training
        for one, named in held:
            one._buffers.update(named)
        with torch.no_grad():
            for one, before in buffers:
                one.copy_(before)
        for one, gradient, needs in gradients:
            one.grad = gradient
            one.requires_grad_(needs)


def reseed(device: torch.device, seed: int) -> None:
    """Seeds what modules on a device draw from (torch, NumPy, Python), within `undisturbed`, which puts it back."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def random_state(device: torch.device) -> tuple[Tensor, ...]:
    """Returns the state of what modules on a device draw from."""
    state = torch.get_rng_state()
    return (state, torch.cuda.get_rng_state(device)) if device.type == "cuda" else (state,)


@contextlib.contextmanager
def as_passes(module: nn.Module) -> Iterator[None]:
    """Turns a forward pass that fails into one line.

    Raises:
        BadNetwork: With what it said.
    """
    try:
        yield
    except BadNetwork:
        raise
    except Exception as error:
        said = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise BadNetwork(
            f"{type(module).__name__} cannot take these inputs: {said} ({type(error).__name__}); "
            "give it what its forward takes: a tensor, a tuple of them, or a mapping by name"
        ) from error


def _unseen(held_out: Any) -> Examples | None:
    if held_out is None:
        return None
    if not isinstance(held_out, (tuple, list)) or len(held_out) != 2 or held_out[1] is None:
        raise BadSetting(
            "held_out takes inputs and labels that the module does not learn from: held_out=(images, labels)"
        )
    return _examples(*held_out)


def _each(labels: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns labels with every tensor in them changed: one, or several in a tuple, a list or a mapping."""
    if isinstance(labels, Tensor):
        return change(labels)
    if isinstance(labels, Mapping):
        return {name: _each(one, change) for name, one in labels.items()}
    return type(labels)(_each(one, change) for one in labels) if isinstance(labels, (tuple, list)) else labels


def _as_labels(labels: Any) -> Any:
    """Returns lists of numbers and arrays as a tensor, and anything else as it is."""
    numbers = isinstance(labels, (list, tuple)) and all(isinstance(one, (int, float)) for one in labels)
    return torch.as_tensor(labels) if isinstance(labels, np.ndarray) or (numbers and labels) else labels


def _examples(images: Any, labels: Any) -> Examples:
    labels = _each(_as_labels(labels), lambda tensor: tensor.long() if tensor.dtype == torch.bool else tensor)
    if isinstance(images, Mapping):
        found = Examples(named=_each(images, torch.Tensor.detach), labels=labels)
    else:
        given = tuple(images) if isinstance(images, (tuple, list)) else (images,)
        found = Examples(args=_each(given, torch.Tensor.detach), labels=labels)
    tensors = (*found.args, *found.named.values())
    if not tensors or not all(isinstance(one, Tensor) and one.dim() >= 1 for one in tensors):
        raise BadData("inputs must be tensors with the examples along their first axis")
    counts = {len(one) for one in (*tensors, *([labels] if isinstance(labels, Tensor) else []))}
    if len(counts) > 1 or len(found) < 2:
        raise BadData(
            f"inputs and labels have {' and '.join(map(str, sorted(counts)))} examples; give the same, 2 at least"
        )
    return found


def _loss_for(given: Tensor, labels: Any, loss: Loss | None) -> tuple[Loss, str, bool]:
    """Returns the loss, what it is called, and whether it is the cross-entropy of logits."""
    if loss is not None:
        return loss, "the loss that was given", False
    whole = isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point()
    if whole and given.dim() == 2 and given.shape[1] > 1:
        require_classes(labels, given)
        return _cross_entropy, "cross-entropy of the logits", True
    return linear_functional, f"a fixed linear functional of the outputs (normal weights, seed {_LINEAR_SEED})", False


def _cross_entropy(output: Any, labels: Tensor) -> Tensor:
    return functional.cross_entropy(answer(output), labels.long())


def linear_functional(output: Any, _labels: Any) -> Tensor:
    """Returns ⟨w, output⟩ a number, mean over the examples, with w ~ N(0, 1) fixed."""
    given = answer(output)
    generator = torch.Generator().manual_seed(_LINEAR_SEED)
    weights = torch.randn(given.shape[1:], generator=generator).to(given)
    return (given * weights).flatten(1).sum(1).mean() if given.dim() > 1 else (given * weights).mean()
