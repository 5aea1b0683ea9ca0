"""Changes to a network that keep what it has learned: deeper, without shortcuts, another head, other channels, frozen.

Each returns a new network and leaves the one it was given as it is, but for `freeze`, which changes no number. A new
network's ``spec`` says what it has become, so that it trains, saves and loads like any other.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from residua.errors import BadNetwork, BadSetting
from residua.networks.network import ResidualNetwork, build, with_weights, without_weights
from residua.networks.residual import without_shortcuts
from residua.networks.spec import NetworkSpec

NO_IDENTITY: tuple[tuple[Callable[[NetworkSpec], bool], str], ...] = (
    (lambda spec: spec.is_plain, "a plain network has no shortcut that carries the stream past a new block"),
    (
        lambda spec: spec.order == "bn_after_addition",
        "in the order bn_after_addition a norm changes the sum, whatever the branch adds",
    ),
    (
        lambda spec: spec.order == "original" and spec.activation != "relu",
        "in the original order the activation after the addition must leave its own output as it is; of those "
        "here only relu does",
    ),
    (
        lambda spec: spec.shortcut not in ("padded", "projection", "average_pooled", "max_pooled"),
        "the shortcut is not the identity where shapes agree",
    ),
    (
        lambda spec: spec.initialization == "scaled_branches",
        "initialization is scaled_branches, and 1/√L is another number for every block when L grows",
    ),
    (
        lambda spec: spec.last_survival < 1,
        "last_survival is below 1, and every block's survival changes when the last one is another",
    ),
)
"""Networks in which no block is exactly the identity, each with the reason."""


def deepen(network: ResidualNetwork, stage: int, blocks: int = 1, *, seed: int = 0) -> ResidualNetwork:
    """Returns the network with ``blocks`` more blocks at the end of a stage, which compute the identity and can learn.

    Logits do not change by a single bit, in training and in evaluation mode: the construction argument of He et al.
    2015, §1. What is zero in a new block follows its order, so that gradient reaches it: γ and β of the last norm
    (original, ReLU-only pre-activation), the last convolution (full pre-activation, and wherever there is no
    norm), a scalar behind the branch (ReLU before the addition, SkipInit). In the order with a ReLU before the
    addition every block has that scalar afterwards, 1 in the old ones.

    Args:
        network: Is left as it is.
        stage: Counts from 1.
        blocks: How many are added.
        seed: Draws the new blocks' other weights.

    Raises:
        BadNetwork: If no block of the network's kind is the identity, with the reason (`NO_IDENTITY`).
        BadSetting: If there is no such stage, or no block is to be added.
    """
    spec = network.spec
    if not 1 <= stage <= len(spec.blocks):
        raise BadSetting(f"there is no stage {stage}; the network has stages 1 to {len(spec.blocks)}")
    if blocks < 1:
        raise BadSetting(f"blocks is {blocks}; allowed: a whole number from 1")
    for refuses, reason in NO_IDENTITY:
        if refuses(spec):
            raise BadNetwork(f"no block can be added that changes nothing: {reason}")
    counts = tuple(count + blocks * (index == stage) for index, count in enumerate(spec.blocks, start=1))
    scalar = spec.order == "relu_before_addition" or spec.initialization == "skipinit"
    start = "skipinit" if scalar else "fixup" if spec.has_shifts else "zero_last"
    drawn = build(replace(spec, blocks=counts, initialization=start), seed=seed).state_dict()
    if scalar:
        drawn = {name: _one_in_old_blocks(name, tensor, spec) for name, tensor in drawn.items()}
    deeper = replace(spec, blocks=counts, initialization="skipinit" if scalar else spec.initialization)
    return _with_weights(deeper, {**drawn, **network.state_dict()}, like=network)


def plain_twin(network: nn.Module) -> nn.Module:
    """Returns the network without its shortcuts; every other tensor is kept, under its name.

    Args:
        network: One of the library's, or any module with `residua.networks.residual.Residual` modules inside.

    Raises:
        BadNetwork: If there are no shortcuts to take away.
    """
    if not isinstance(network, ResidualNetwork):
        return without_shortcuts(network)
    if network.spec.is_plain:
        raise BadNetwork("the network is plain already: it has no shortcuts to take away")
    twin, kept = network.spec.plain_twin(), network.state_dict()
    names = without_weights(twin).state_dict()
    return _with_weights(twin, {name: kept[name] for name in names}, like=network)


def replace_head(network: ResidualNetwork, classes: int, *, seed: int = 0) -> ResidualNetwork:
    """Returns the network with a freshly drawn head for ``classes`` classes; everything before it is kept."""
    spec = replace(network.spec, classes=classes)
    head = {f"head.{name}": tensor for name, tensor in build(spec, seed=seed).head.state_dict().items()}
    return _with_weights(spec, {**network.state_dict(), **head}, like=network)


def adapt_input(network: ResidualNetwork, channels: int) -> ResidualNetwork:
    """Returns the network for images of so many channels.

    One channel gets the sum of the first convolution's weights over its old channels; more repeat the old ones in
    turn, each times old/new. From 1 to any number, and from any number to 1, the answer does not change on an
    image whose channels are all the same.

    Raises:
        BadNetwork: If the stem whitens patches, whose filters belong to the channels that they were set from.
    """
    if network.spec.stem.whitening:
        raise BadNetwork("a whitening stem is set from images of its own channels; build the network anew for others")
    spec, weights = replace(network.spec, in_channels=channels), network.state_dict()
    name = next(name for name in weights if name.startswith("stem.convolution"))
    old = weights[name].shape[1]
    if channels == 1:
        adapted = weights[name].sum(dim=1, keepdim=True)
    else:
        adapted = weights[name][:, [channel % old for channel in range(channels)]] * (old / channels)
    return _with_weights(spec, {**weights, name: adapted}, like=network)


def freeze(network: ResidualNetwork, until: str) -> ResidualNetwork:
    """Stops every part up to and with ``until`` from learning, running statistics included; returns the network itself.

    Args:
        network: Its frozen parts' parameters need no gradient and stay in evaluation mode when the network is put
            into training mode; the other parts learn.
        until: ``stem``, ``stage1`` …, ``tail`` (all but the head), or ``none``, which lets everything learn again.

    Raises:
        BadSetting: If there is no such part, with the nearest that is.
    """
    network.freeze(until)
    return network


def _one_in_old_blocks(name: str, tensor: Tensor, spec: NetworkSpec) -> Tensor:
    """Returns a scalar behind a branch as 1 where the block was there before, and any other tensor as it is."""
    if not name.endswith("residual.scale.value"):
        return tensor
    stage, block = map(int, name.split(".")[1:3])
    return torch.ones_like(tensor) if block < spec.blocks[stage] else tensor


def _with_weights(spec: NetworkSpec, weights: Mapping[str, Tensor], *, like: ResidualNetwork) -> ResidualNetwork:
    """Builds a network around copies of the weights, on the device, in the type and in the mode of another."""
    example = next(like.parameters())
    copies = {
        name: tensor.detach().to(example.device, example.dtype if tensor.is_floating_point() else None, copy=True)
        for name, tensor in weights.items()
    }
    network = with_weights(spec, copies)
    network.freeze(like.frozen)
    return network.train(like.training)
