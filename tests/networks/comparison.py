"""A network of the library beside its plain writing: values and all gradients, in double precision."""

from dataclasses import replace

import torch
from tests.networks.plain_writing import Numbers, Written
from torch import Tensor

from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec


def with_random_numbers(spec: NetworkSpec) -> ResidualNetwork:
    """A network in double precision with no zero anywhere, so that no term of a sum can hide."""
    network = build(spec, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(0.0, 0.4, generator=generator)
        if name.endswith("running_var"):
            value.square_().add_(0.5)
    return network


def numbers_of(network: ResidualNetwork) -> Numbers:
    """Copies of all parameters and buffers; the parameters' copies take gradients."""
    copies = {name: value.detach().clone() for name, value in network.state_dict().items()}
    for name, _ in network.named_parameters():
        copies[name].requires_grad_(True)
    return copies


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_close(ours: Tensor, theirs: Tensor, what: str) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9, msg=lambda text: f"{what}: {text}")


def assert_same_network(network: ResidualNetwork, written: Written, images: Tensor, *, seed: int = 0) -> None:
    """Compares the logits, and the gradients of all parameters and of the images, in the network's own mode.

    Both draw what they draw at random from the same seed. A gradient that there is on neither side is an error, for
    the parameter would be of no use, but where stochastic depth may have dropped it.
    """
    theirs = numbers_of(network)
    written = replace(written, training=network.training, draws=torch.Generator().manual_seed(seed))
    own, copy = images.clone().requires_grad_(True), images.clone().requires_grad_(True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        logits = network(own)
    expected = written.network(copy, theirs, network.spec.blocks)
    assert_close(logits, expected, "logits")
    parameters = dict(network.named_parameters())
    weights = torch.arange(1.0, 1.0 + logits.numel(), dtype=torch.float64).view_as(logits)
    ours = gradients(logits, weights, [own, *parameters.values()])
    reference = gradients(expected, weights, [copy, *(theirs[name] for name in parameters)])
    for name, gradient, other in zip(["images", *parameters], ours, reference, strict=True):
        assert other is not None, f"the papers' network does not use {name}"
        if gradient is None:
            assert written.last_survival < 1, f"the network does not use {name}"
            gradient = torch.zeros_like(other)
        assert_close(gradient, other, name)


def gradients(out: Tensor, weights: Tensor, inputs: list[Tensor]) -> tuple[Tensor | None, ...]:
    return torch.autograd.grad((out * weights).sum(), inputs, allow_unused=True)
