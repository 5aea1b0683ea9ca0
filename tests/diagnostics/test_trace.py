"""What a trace finds: the additions of blocks whatever writes them, with terms equal to those written by hand."""

import os
import warnings
from collections.abc import Callable

import pytest
import torch
from tests.diagnostics import written
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import Examples, undisturbed
from residua.diagnostics.products import by_operations, terms
from residua.diagnostics.trace import Trace, trace
from residua.errors import BadNetwork


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def traced(module: nn.Module, *inputs: Tensor, **named: Tensor) -> Trace:
    with undisturbed(module):
        return trace(module, Examples(args=inputs, named=named))


def names(found: Trace) -> list[str]:
    return [one.name for one in found.additions]


NETWORKS: dict[str, tuple[Callable[[], written.ResNet50 | written.Chain], list[str]]] = {
    "resnet50": (
        written.ResNet50,
        [kind for blocks in (3, 4, 6, 3) for kind in ("projection", *["identity"] * (blocks - 1))],
    ),
    **{
        kind.__name__: (
            lambda kind=kind: written.Chain(kind(6, 6), kind(6, 8, 2), kind(8, 8), width=8),
            ["identity", "projection", "identity"],
        )
        for kind in (written.S1, written.S2, written.S3, written.S4)
    },
    "preactivated": (
        lambda: written.Chain(written.Preactivated(6), written.Preactivated(6), width=6),
        ["identity", "identity"],
    ),
    "gated": (lambda: written.Chain(written.Gated(6), written.Gated(6), width=6), ["projection", "projection"]),
    "scaled": (lambda: written.Chain(written.Scaled(6), written.Scaled(6), width=6), ["free", "free"]),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_every_block_is_found_with_the_terms_of_its_formulas(network):
    """Terms and gradient, block by block, in training mode with the batch's statistics."""
    make, kinds = NETWORKS[network]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = make()
    images = normal(4, 3, 16, 16)
    with undisturbed(module):
        found = trace(module, Examples(args=(images,)))
        assert [one.kind for one in found.additions] == kinds
        gradients = by_operations(found.answer.square().sum(), found, [one.total for one in found.additions])
        expected = written.terms_by_hand(module, images)
        for addition, (branch, shortcut, gradient) in zip(found.additions, expected, strict=True):
            ours = terms(found, addition, gradients[addition.total])
            scale = float(gradient.abs().max())
            assert torch.allclose(gradients[addition.total], gradient, atol=1e-4 * scale)
            for mine, other in zip(ours, (branch, shortcut), strict=True):
                assert torch.allclose(mine, other, atol=1e-4 * float(other.abs().max()))


def test_blocks_go_by_the_modules_that_add():
    found = traced(written.ResNet50(), normal(2, 3, 16, 16))
    counts = {"layer1": 3, "layer2": 4, "layer3": 6, "layer4": 3}
    assert names(found) == [f"{layer}.{block}" for layer, count in counts.items() for block in range(count)]
    assert len(found.layers) == 1 + 3 * 16 + 4 + 1


def test_a_transformer_adds_twice_a_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for mode in (True, False):
        network = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).train(mode)
        found = traced(network, normal(2, 5, 8))
        assert names(found) == [f"layers.{number} #{part}" for number in range(6) for part in (1, 2)]
        assert {one.kind for one in found.additions} == {"identity"}
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_plain_network_has_no_additions():
    chain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(3))
    chain(normal(2, 3, 8, 8))
    found = traced(chain, normal(2, 3, 8, 8))
    assert found.additions == ()
    assert [one.kind for one in found.operations] == ["input", "layer", "norm", "activation", "other", "layer"]


class OneForward(nn.Module):
    """All in one forward: a bias by hand, a GELU by hand, positions added, and two blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.bias, self.positions = nn.Parameter(torch.ones(6)), nn.Parameter(torch.ones(4, 6))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions
        x = x + self.gelu(self.first(x) + self.bias)
        return x + self.second(x) * 2 + 1

    @staticmethod
    def gelu(x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x**3)))


def test_biases_positions_and_a_gelu_by_hand_are_no_blocks():
    found = traced(OneForward(), normal(4, 6))
    assert names(found) == ["forward #1", "forward #2"]
    assert [found.operations[one.branch].op.strip("_") for one in found.additions] == ["mul", "mul"]


def test_two_branches_into_one_stream_are_two_blocks():
    class Parallel(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.first(x) + self.second(x)

    assert len(traced(Parallel(), normal(4, 6)).additions) == 2


def test_a_shared_module_goes_by_its_first_path():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(6, 6)
            self.other = self.one

        def forward(self, x: Tensor) -> Tensor:
            return x + self.other(x + self.one(x))

    found = traced(Twice(), normal(4, 6))
    assert [one.module for one in found.layers] == ["one", "one"]
    assert len(found.additions) == 2


class Squared(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return 2 * ctx.saved_tensors[0] * gradient


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + Squared.apply(self.layer(x))  # type: ignore[operator]


def test_a_custom_function_is_passed_through():
    module, x = Custom(), normal(4, 6)
    with undisturbed(module):
        found = trace(module, Examples(args=(x,)))
        (addition,) = found.additions
        branch, _ = terms(found, addition, torch.ones(4, 6))
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(module.layer(leaf).square().sum(), leaf)
    assert torch.allclose(branch, expected, atol=1e-6)


def test_a_scripted_part_is_one_operation():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Sequential(nn.Linear(6, 6), nn.ReLU()))

    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = scripted

        def forward(self, x: Tensor) -> Tensor:
            return x + self.part(x)

    found = traced(Around(), normal(4, 6))
    assert [one.kind for one in found.additions] == ["identity"]


def test_wrappers_are_looked_through():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.layer(x).relu()

    network = nn.Sequential(Block(), Block())
    assert names(traced(torch.compile(network, backend="eager"), normal(4, 6))) == ["0", "1"]  # type: ignore[arg-type]
    assert names(traced(nn.Sequential(torch.compile(Block(), backend="eager"), Block()), normal(4, 6)))[-1] == "1"  # type: ignore[arg-type]


def test_a_distributed_wrapper_is_looked_through(tmp_path):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Sequential(Custom(), Custom()))
        assert names(traced(wrapped, normal(4, 6))) == ["0", "1"]
    finally:
        torch.distributed.destroy_process_group()


def test_frozen_parts_are_passed_and_parts_without_gradients_have_no_edge():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.frozen, self.layer = nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.frozen(x)
            return x + self.layer(x)

    found = traced(Cut(), normal(4, 6))
    edges = [one.edge is not None for one in found.layers]
    assert edges == [False, True]
    assert len(found.additions) == 1
    frozen = nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 6))
    assert all(one.edge is not None for one in traced(frozen, normal(4, 6)).layers)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 6), nn.Linear(3, 6)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        h = x + self.left(x)
        return h + self.right(beside)


def test_several_inputs_come_by_place_or_by_name():
    x, beside = normal(4, 6), normal(4, 3)
    by_place, by_name = traced(TwoInputs(), x, beside), traced(TwoInputs(), beside=beside, x=x)
    for found in (by_place, by_name):
        assert len(found.inputs) == 2
        assert names(found) == ["forward"]


def test_tokens_enter_through_an_embedding():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.layer = nn.Embedding(10, 6), nn.Linear(6, 6)
            self.beside = nn.Embedding(10, 6)

        def forward(self, tokens: Tensor) -> Tensor:
            x = self.embedding(tokens) + self.beside(tokens)
            return x + self.layer(x)

    found = traced(Words(), torch.arange(8).reshape(4, 2))
    assert found.inputs == ()
    assert [one.module for one in found.layers] == ["embedding", "beside", "layer"]
    assert names(found) == ["forward"]
    assert isinstance(found.answer, Tensor)
    assert [one.op for one in found.operations] == ["input", "embedding", "embedding", "add", "linear", "add"]
    assert all(one.edge is not None for one in found.operations[1:])


def test_operations_know_what_they_depend_on():
    found = traced(OneForward(), normal(4, 6))
    last = found.operations[-1]
    for one in found.operations:
        assert one.index == found.operations.index(one)
        assert all(parent < one.index and one.comes_from(parent) for parent in one.parents)
    assert last.comes_from(0)
    assert not found.operations[0].comes_from(last.index)
    addition = found.additions[1]
    assert found.branch_of(addition)[0].op == "linear"
    assert found.branch_of(addition)[-1].index == addition.branch


def test_those_who_look_are_told_values():
    """The meeting gives F(x), s(x) and y as they are added, also where the sum is written over F."""
    met, looked = [], []
    module = written.S2(3, 3)
    with undisturbed(module):
        trace(
            module,
            Examples(args=(normal(2, 3, 4, 4),)),
            look=lambda made, args, kwargs, output: looked.append(made.op),
            meet=lambda addition, branch, shortcut, y: met.append((branch.clone(), shortcut.clone(), y.clone())),
        )
    ((branch, shortcut, y),) = met
    assert torch.allclose(branch + shortcut, y)
    assert not torch.allclose(branch, y)
    by_hand = module.by_hand(normal(2, 3, 4, 4))
    assert torch.allclose(branch, by_hand[0], atol=1e-5)
    assert torch.allclose(shortcut, by_hand[1], atol=1e-5)
    assert looked[0] == "conv2d"


def test_a_forward_that_fails_is_one_line():
    with pytest.raises(BadNetwork, match=r"^Linear cannot take these inputs: [^\n]*RuntimeError[^\n]*$"):
        traced(nn.Linear(5, 5), normal(4, 6))


def test_a_forward_without_a_tensor_is_one_line():
    class Word(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "a cat"

    with pytest.raises(BadNetwork, match="without a tensor in it; return the logits"):
        traced(Word(), normal(4, 6))


def test_no_hooks_and_no_modes_stay_behind():
    def hooks() -> list[int]:
        of_all = nn.modules.module
        return [len(of_all._global_forward_hooks), len(of_all._global_forward_pre_hooks)]

    before, module = hooks(), nn.Linear(6, 6)
    traced(module, normal(4, 6))
    with pytest.raises(BadNetwork):
        traced(module, normal(4, 7))
    assert hooks() == before
    assert not module._forward_hooks
    assert not module._forward_pre_hooks
    assert not torch.overrides._get_current_function_mode_stack()
    assert functional.relu(torch.tensor(-1.0)) == 0


def test_a_users_own_backward_hooks_are_let_be():
    network = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    handle = network[1].register_full_backward_hook(lambda module, into, out: None)
    found = traced(network, normal(4, 6))
    assert [one.kind for one in found.operations if one.kind in ("layer", "activation")] == [
        "layer",
        "activation",
        "layer",
    ]
    assert all(one.edge is not None for one in found.layers)
    handle.remove()


def test_a_layer_of_several_outputs_is_one_layer():
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.lstm(x)[0][:, -1])

    assert [one.module for one in traced(Recurrent(), normal(4, 7, 6)).layers] == ["lstm", "head"]
