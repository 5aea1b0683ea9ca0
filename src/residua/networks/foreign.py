"""What a network of any other library costs, layer by layer, found by one forward pass.

Of a module that is not built from a specification nothing is known but what it does: it is run once on an image of
zeros, and every call of a layer is written down.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from residua.errors import BadNetwork
from residua.networks.cost import Shape

_ELSEWHERE = "outside the layers"


@final
@dataclass(frozen=True, kw_only=True)
class ForeignRow:
    """Tells what one call of a layer, or one part of the network, gives and costs."""

    name: str
    """The layer's path in the network, or the part: what its path begins with."""
    kind: str
    """Its class; of a convolution with the kernel."""
    shape: tuple[int, ...]
    """Of its output without the batch; empty where that is no tensor."""
    parameters: int
    """Those that no row before has counted."""
    multiply_adds: int
    """For one image, as torch counts them: in convolutions and matrix products, fused attention left out."""
    receptive_field: None = None
    """Not known."""


@final
@dataclass(frozen=True, kw_only=True)
class ForeignInspection:
    """Tells what a network that came without a specification costs for images of one shape."""

    image: Shape
    stages: tuple[ForeignRow, ...]
    """The parts that the network itself holds, in the order in which they were first called."""
    layers: tuple[ForeignRow, ...]
    """In the order in which they were called; one called twice has two rows."""
    parameters: int
    multiply_adds: int
    """For one image."""
    receptive_field: None = None
    """Not known."""
    depth: None = None
    """Not known: which layers a shortcut goes round is not visible."""

    def to_json(self) -> dict[str, Any]:
        """Returns everything as a dictionary that JSON can hold."""
        return asdict(self)


def trace(network: nn.Module, shape: Shape | None = None) -> ForeignInspection:
    """Runs ``network`` once on an image of zeros, in evaluation mode without gradients, and tells what it costs.

    Left as it was: modes are restored and hooks removed.

    Args:
        network: Any module that maps images [b, c, h, w] to something.
        shape: Of the image; None takes 224×224 and the channels of the first convolution.

    Raises:
        BadNetwork: If the network cannot take such an image, with what it said.
    """
    image = shape or (_channels(network), 224, 224)
    calls = _calls(network, image)
    layers = _rows(calls, network)
    return ForeignInspection(
        image=image,
        stages=_parts(layers, calls),
        layers=layers,
        parameters=sum(row.parameters for row in layers),
        multiply_adds=sum(row.multiply_adds for row in layers),
    )


@dataclass
class _Call:
    """One call of a module, as the hooks see it."""

    name: str
    module: nn.Module
    began_at: int
    """Operations counted before it."""
    inside: int = 0
    """Operations of the calls inside it."""
    own: int = 0
    shape: tuple[int, ...] = ()


@dataclass
class _Tracer:
    """Writes down the calls of modules while operations are counted."""

    counter: FlopCounterMode
    calls: list[_Call] = field(default_factory=list)
    """Those that have ended, in that order."""
    open: list[_Call] = field(default_factory=list)

    def enter(self, name: str, module: nn.Module) -> None:
        self.open.append(_Call(name, module, self.counter.get_total_flops()))

    def leave(self, output: Any) -> None:
        call = self.open.pop()
        total = self.counter.get_total_flops() - call.began_at
        call.own, call.shape = total - call.inside, _shape(output)
        if self.open:
            self.open[-1].inside += total
        self.calls.append(call)


def _calls(network: nn.Module, shape: Shape) -> list[_Call]:
    example = next(network.parameters(), torch.empty(0))
    dtype = example.dtype if example.is_floating_point() else torch.float32
    image = torch.zeros(1, *shape, device=example.device, dtype=dtype)
    counter = FlopCounterMode(display=False)
    tracer = _Tracer(counter)
    with _as_it_was(network), _written_out_attention(), _watched(network, tracer), torch.no_grad(), counter:
        try:
            network(image)
        except Exception as error:
            said = next(iter(str(error).splitlines()), type(error).__name__)
            size = "×".join(map(str, shape))
            raise BadNetwork(f"the network cannot take an image of {size}: {said}; give another --input") from error
    return tracer.calls


@contextlib.contextmanager
def _watched(network: nn.Module, tracer: _Tracer) -> Iterator[None]:
    """Tells ``tracer`` of every call of a module; the hooks are gone afterwards."""
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda module, _, name=name: tracer.enter(name, module)))
        handles.append(module.register_forward_hook(lambda _, __, output: tracer.leave(output)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def _as_it_was(network: nn.Module) -> Iterator[None]:
    """Puts every module into evaluation mode and back, each into its own."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextlib.contextmanager
def _written_out_attention() -> Iterator[None]:
    """Turns off the fused attention of evaluation, whose products the counter does not see."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _rows(calls: list[_Call], network: nn.Module) -> tuple[ForeignRow, ...]:
    """Returns a row for every call that is a layer or costs something itself, and one for what none accounts for."""
    seen: set[int] = set()
    rows = []
    for call in calls:
        own = [one for one in call.module.parameters(recurse=False) if id(one) not in seen]
        seen.update(map(id, own))
        is_layer = call.name and next(call.module.children(), None) is None
        if is_layer or own or call.own:
            rows.append(_row(call, parameters=sum(one.numel() for one in own)))
    rest = sum(one.numel() for one in network.parameters() if id(one) not in seen)
    if rest:
        rows.append(ForeignRow(name=_ELSEWHERE, kind="parameters", shape=(), parameters=rest, multiply_adds=0))
    return tuple(rows)


def _row(call: _Call, *, parameters: int) -> ForeignRow:
    return ForeignRow(
        name=call.name or type(call.module).__name__,
        kind=_kind(call.module),
        shape=call.shape,
        parameters=parameters,
        multiply_adds=call.own // 2,
    )


def _parts(layers: tuple[ForeignRow, ...], calls: list[_Call]) -> tuple[ForeignRow, ...]:
    """Sums the layers by the first name of their path."""
    last = {call.name: call for call in calls}
    sums: dict[str, list[ForeignRow]] = {}
    for row in layers:
        sums.setdefault(row.name.partition(".")[0], []).append(row)
    return tuple(
        ForeignRow(
            name=name,
            kind=_kind(last[name].module) if name in last else rows[-1].kind,
            shape=last[name].shape if name in last else rows[-1].shape,
            parameters=sum(row.parameters for row in rows),
            multiply_adds=sum(row.multiply_adds for row in rows),
        )
        for name, rows in sums.items()
    )


def _kind(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        kernel = "×".join(map(str, module.kernel_size))
        return f"{kernel} convolution" + (f", {module.groups} groups" if module.groups > 1 else "")
    return type(module).__name__


def _shape(output: Any) -> tuple[int, ...]:
    """Returns the shape without the batch of the first tensor in an output."""
    if isinstance(output, Tensor):
        return tuple(output.shape[1:])
    inside = output.values() if isinstance(output, dict) else output if isinstance(output, (tuple, list)) else ()
    return next((shape for shape in map(_shape, inside) if shape), ())


def _channels(network: nn.Module) -> int:
    convolutions = (module for module in network.modules() if isinstance(module, nn.Conv2d))
    first = next(convolutions, None)
    return 3 if first is None else first.in_channels
