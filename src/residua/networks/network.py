"""The network itself, built from its specification; it knows no data and no training."""

from collections.abc import Iterable, Iterator, Mapping
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from residua.errors import BadSetting, unknown
from residua.networks.blocks import LAYOUTS, Place, Preactivation, build_block, written
from residua.networks.initialization import initialize, sets_all
from residua.networks.layers import BlockShape, GlobalAveragePool, joined, shift
from residua.networks.spec import NetworkSpec
from residua.networks.stems import activates, build_stem


@final
class ResidualNetwork(nn.Module):
    """Maps images to logits: stem, stages of blocks, global pool, linear head.

    `build` is the way to one: this class leaves its weights as torch's layers make them.

    Attributes:
        spec: What the network was built from.
        stem: From the image to the stream.
        stages: One `nn.Sequential` of blocks a stage.
        tail: The last norm and activation of a pre-activation network, a Fixup network's last shift, else the identity.
        pool: The global pool, which gives one number a channel.
        head: The linear layer from the pooled channels to the logits.
        frozen: The last part that does not learn, or ``none``; `freeze` sets it.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        self.frozen = "none"
        self.stem = build_stem(spec)
        self.stages = nn.ModuleList(_stage(spec, index) for index in range(len(spec.blocks)))
        self.tail = _tail(spec)
        self.pool = nn.AdaptiveMaxPool2d(1) if spec.head_pool == "max" else GlobalAveragePool()
        self.head = nn.Linear(spec.out_channels[-1], spec.classes)

    def freeze(self, until: str) -> None:
        """Stops every part up to and with ``until`` from learning, and lets the others learn.

        Raises:
            BadSetting: If there is no such part, with the nearest that is.
        """
        allowed = ("none", *self._parts())
        if until not in allowed:
            raise BadSetting(unknown("part", until, allowed))
        self.frozen = until
        self.requires_grad_(True)
        if self.spec.stem.whitening:
            self.stem.get_parameter("convolution.weight").requires_grad_(False)
        for part in self._frozen_parts():
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "ResidualNetwork":
        """Sets training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def feature_maps(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c2 h2 w2"]:
        """Returns the maps that the global average pool reads: what the last stage, and the tail, give."""
        x = self.stem(images)
        for stage in self.stages:
            x = stage(x)
        return self.tail(x)

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes"]:
        """Returns the logits: no softmax, which belongs to the loss and to prediction."""
        return self.head(self.pool(self.feature_maps(images)).flatten(1))

    def features(self, images: Float[Tensor, "b c h w"], at: Iterable[str]) -> dict[str, Tensor]:
        """Returns what the named places give, from one forward pass without hooks; gradients flow as in `forward`.

        Args:
            images: Normalised images.
            at: Names of `feature_names`: ``stem``, ``stage1`` …, ``stage2.3`` (its third block), ``tail``, ``pool``
                ([b, c]) and ``head``, the logits ([b, classes]).

        Raises:
            BadSetting: If a name is none, with the nearest that is.
        """
        wanted = list(at)
        for name in wanted:
            if name not in self.feature_names:
                raise BadSetting(unknown("place", name, self.feature_names))
        found = {name: value for name, value in self._walk(images) if name in wanted}
        return {name: found[name] for name in wanted}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Returns the names that `features` takes, from the image to the logits."""
        blocks = [
            [*(f"stage{stage}.{block}" for block in range(1, count + 1)), f"stage{stage}"]
            for stage, count in enumerate(self.spec.blocks, start=1)
        ]
        return ("stem", *(name for stage in blocks for name in stage), "tail", "pool", "head")

    def _parts(self) -> dict[str, nn.Module]:
        stages = {f"stage{number}": stage for number, stage in enumerate(self.stages, start=1)}
        return {"stem": self.stem, **stages, "tail": self.tail}

    def _frozen_parts(self) -> list[nn.Module]:
        names = list(self._parts())
        count = 0 if self.frozen == "none" else names.index(self.frozen) + 1
        return list(self._parts().values())[:count]

    def _walk(self, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        x = self.stem(images)
        yield "stem", x
        for stage, blocks in enumerate(self.stages, start=1):
            for position, block in enumerate(blocks.children(), start=1):
                x = block(x)
                yield f"stage{stage}.{position}", x
            yield f"stage{stage}", x
        x = self.tail(x)
        yield "tail", x
        pooled = self.pool(x).flatten(1)
        yield "pool", pooled
        yield "head", self.head(pooled)


def without_weights(spec: NetworkSpec) -> ResidualNetwork:
    """Returns the network of ``spec`` with shapes and without values (on torch's meta device)."""
    with torch.device("meta"):
        return ResidualNetwork(spec)


def with_weights(spec: NetworkSpec, weights: Mapping[str, Tensor]) -> ResidualNetwork:
    """Returns the network of ``spec`` around the tensors themselves, in evaluation mode.

    Raises:
        RuntimeError: If a tensor is missing, left over or misshapen; `residua.networks.weights` checks foreign ones.
    """
    network = without_weights(spec)
    network.load_state_dict(dict(weights), assign=True)
    return network.eval()


def build(spec: NetworkSpec, *, seed: int | None = None) -> ResidualNetwork:
    """Returns the network of ``spec`` on the processor with freshly drawn weights.

    Tensors that no layer of the library holds, as in a shortcut of one's own, start as their class makes them.

    Args:
        spec: What to build.
        seed: Draws the same weights for the same seed and leaves the global random state alone;
            without one the weights come from the global state.
    """
    with torch.device("meta"):
        network = ResidualNetwork(spec)
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    if sets_all(network):
        network.to_empty(device="cpu")
    else:
        network = _as_made(spec, seed)
    initialize(network, spec, generator=generator)
    return network


def _as_made(spec: NetworkSpec, seed: int | None) -> ResidualNetwork:
    if seed is None:
        return ResidualNetwork(spec)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return ResidualNetwork(spec)


def _stage(spec: NetworkSpec, index: int) -> nn.Sequential:
    into = spec.out_channels[index - 1] if index else spec.stem.width
    width, out, before = spec.widths[index], spec.out_channels[index], sum(spec.blocks[:index])
    blocks = []
    for position in range(spec.blocks[index]):
        stride = spec.strides[index] if position == 0 else 1
        transition_from = into if spec.has_transitions and position == 0 else None
        if transition_from is not None:
            into, stride = out, 1
        shape = BlockShape(in_channels=into, width=width, out_channels=out, stride=stride)
        preactivation = _preactivation(spec, shape, is_first=before + position == 0)
        place = Place(preactivation=preactivation, position=before + position, transition_from=transition_from)
        blocks.append(build_block(spec, shape, place))
        into = out
    return nn.Sequential(*blocks)


def _preactivation(spec: NetworkSpec, shape: BlockShape, *, is_first: bool) -> Preactivation:
    """Says who holds a block's pre-activation (He et al. 2016, appendix, and the authors' code).

    The first block and every block that changes shape share it between both paths; the
    rule is the same for plain networks, so that twins have the same layers.
    """
    if is_first and activates(spec):
        return "above"
    return "shared" if is_first or shape.changes else "in_branch"


def _tail(spec: NetworkSpec) -> nn.Module:
    return joined([*written(spec, LAYOUTS[spec.order].before, spec.out_channels[-1]), *shift(spec)])
