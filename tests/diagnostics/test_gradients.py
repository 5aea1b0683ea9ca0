"""The gradient's norms by depth, beside closed forms and gradients taken by hand."""

import math
from statistics import median

import pytest
import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, opened
from residua.diagnostics.gradients import gradient_flow
from residua.diagnostics.measured import Measured
from residua.diagnostics.trace import trace
from residua.errors import BadNetwork
from residua.networks.network import build
from residua.networks.residual import Residual
from residua.networks.spec import NetworkSpec, small_stem

EXAMPLES = 12


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scaling(factor: float, width: int = 4) -> nn.Linear:
    """Returns x ↦ factor · x as a layer."""
    layer = nn.Linear(width, width, bias=False)
    layer.weight.data = factor * torch.eye(width)
    return layer


def values(measured: Measured | None) -> tuple[float, ...]:
    assert measured is not None
    return measured.values


def summed(output: Tensor, _labels: object) -> Tensor:
    """Every example's gradient by the output is 1 in each number."""
    return output.sum(1).mean()


def case(*parts: nn.Module, width: int = 4) -> Case:
    return opened(nn.Sequential(*parts), normal(EXAMPLES, width), None, loss=summed)


def test_each_shortcut_adds_its_own_copy_of_the_gradient():
    """He et al. 2016, Eq. 5 with F(x) = 3x: every block multiplies the gradient passing back by four."""
    flow = gradient_flow(case(*(Residual(scaling(3.0)) for _ in range(4))), size=4)
    assert flow.along == "additions"
    blocks = [place for place in flow.places if place.kind == "addition"]
    assert [place.name for place in blocks] == ["0", "1", "2", "3"]
    for behind, place in zip((3, 2, 1, 0), blocks, strict=True):
        g = 2 * 4.0**behind
        assert place.stream.values == pytest.approx([g] * 3)
        assert values(place.branch) == pytest.approx([3 * g] * 3)
        assert values(place.shortcut) == pytest.approx([g] * 3)
        assert values(place.source) == pytest.approx([4 * g] * 3)
    assert flow.ratio.values == pytest.approx([64.0] * 3)
    assert flow.per_layer == pytest.approx(4.0)
    assert flow.per_layer_interval == pytest.approx((4.0, 4.0))
    assert flow.layers == 3


def test_norms_are_of_one_examples_loss_whatever_the_batch():
    blocks = [Residual(scaling(3.0)) for _ in range(4)]
    by_size = [gradient_flow(case(*blocks), size=size, batches=1) for size in (2, 4, 12)]
    assert [flow.examples for flow in by_size] == [2, 4, 12]
    for flow in by_size:
        assert flow.places[0].stream.median == pytest.approx(by_size[0].places[0].stream.median)


def test_a_plain_chain_is_fitted_over_its_layers_but_the_last():
    """Ten layers of factor ½ and a head of factor 100: the gradient halves from layer to layer before the head."""
    flow = gradient_flow(case(*(scaling(0.5) for _ in range(10)), scaling(100.0)))
    assert flow.along == "layers"
    assert flow.per_layer == pytest.approx(0.5)
    assert flow.ratio.median == pytest.approx(0.5**9)
    assert flow.layers == 9
    assert [place.layers_before for place in flow.places] == list(range(1, 12))
    assert flow.is_healthy


@pytest.mark.parametrize(("factor", "healthy"), [(0.46, False), (0.47, True), (2.15, True), (2.16, False)])
def test_healthy_is_a_ratio_within_a_thousandfold(factor, healthy):
    """Ten layers before the head: ratio factor⁹; 10^(1/3) = 2.154."""
    flow = gradient_flow(case(*(scaling(factor) for _ in range(10)), scaling(1.0)))
    assert flow.ratio.median == pytest.approx(factor**9, rel=1e-4)
    assert flow.is_healthy is healthy


@pytest.mark.parametrize(("factor", "healthy"), [(1.0335, True), (1.034, False), (0.9676, True), (0.967, False)])
def test_deeper_networks_may_change_by_a_power_of_their_depth(factor, healthy):
    """Over 250 steps L^(3/2) = 3953: factors of 1.0337 to the power 250 are inside, as of its inverse."""
    flow = gradient_flow(case(*(scaling(factor) for _ in range(251)), scaling(1.0)), batches=1)
    assert flow.layers == 250
    assert flow.is_healthy is healthy


def test_one_wild_layer_does_not_bend_the_fit():
    """Theil and Sen: the median of the slopes between all pairs."""
    layers = [scaling(0.5) for _ in range(12)]
    layers[0] = scaling(0.5)
    flow = gradient_flow(case(*layers[:1], scaling(1e-6), *layers[1:]))
    assert flow.per_layer == pytest.approx(0.5, rel=0.02)


def test_the_whole_gradient_is_that_of_autograd_in_a_network_of_ours():
    """Beside ``retain_grad`` on the blocks' outputs, in training mode, for the same batch."""
    spec = NetworkSpec(stem=small_stem(6), blocks=(2, 1), widths=(6, 8), classes=3)
    network = build(spec, seed=0).eval()
    images, labels = normal(8, 3, 8, 8), torch.arange(8) % 3
    places = gradient_flow(opened(network, images, labels), size=8).places
    assert not network.training
    kept = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    blocks = [block.merge for stage in network.stages for block in stage.children()]  # type: ignore[union-attr]
    handles = [block.register_forward_hook(keep) for block in blocks]  # type: ignore[union-attr]
    nn.functional.cross_entropy(network.train()(images), labels).backward()
    for handle in handles:
        handle.remove()
    expected = [math.sqrt(8) * float(one.grad.norm()) for one in kept]
    assert [one.stream.median for one in places if one.kind == "addition"] == pytest.approx(expected, rel=1e-4)
    weight = network.get_parameter("stem.convolution.weight")
    assert weight.grad is not None
    stem = next(one for one in places if one.name == "stem.convolution")
    assert median(values(stem.weights)) == pytest.approx(float(weight.grad.norm() / weight.detach().norm()), rel=1e-4)


def test_weights_are_a_layers_own():
    """Loss mean over examples of Σ w x: the gradient of the mean, not of an example, over the norm of w."""

    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(2 * torch.eye(4))
            self.inner = scaling(1.0)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(nn.functional.linear(x, self.weight))

    images = normal(EXAMPLES, 4)
    flow = gradient_flow(opened(nn.Sequential(Holder()), images, None, loss=summed), size=EXAMPLES)
    outer = next(place for place in flow.places if place.name == "0")
    gradient = images.mean(0).expand(4, 4)
    assert median(values(outer.weights)) == pytest.approx(float(gradient.norm()) / 4.0, rel=1e-5)


def test_a_layer_of_zeros_or_frozen_has_no_weight_ratio():
    frozen = scaling(1.0).requires_grad_(False)
    flow = gradient_flow(case(frozen, Residual(scaling(0.0)), scaling(2.0)))
    ratios = {place.name: place.weights for place in flow.places if place.kind == "layer"}
    assert ratios["0"] is None
    assert ratios["1.module"] is None
    assert ratios["2"] is not None


def test_a_dead_network_is_measured_and_not_healthy():
    """A ReLU that reads −1 everywhere passes nothing back; a zero counts as the smallest normal number."""

    class Dead(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.abs() * -1 - 1).relu()

    flow = gradient_flow(case(scaling(1.0), scaling(1.0), Dead(), scaling(1.0), scaling(1.0)))
    assert flow.places[0].stream.values == (0.0, 0.0, 0.0)[: len(flow.places[0].stream.values)]
    assert 0 < flow.ratio.median < 1e-37
    assert math.isfinite(flow.per_layer)
    assert not flow.is_healthy


def test_zero_gradients_everywhere_are_no_health():
    """A head of zeros, as Fixup has."""
    flow = gradient_flow(case(scaling(1.0), scaling(1.0), scaling(1.0), scaling(0.0)))
    assert flow.ratio.median == 1
    assert flow.per_layer == 1
    assert not flow.is_healthy


def test_gradients_that_overflow_stay_finite():
    flow = gradient_flow(case(*(scaling(1e30) for _ in range(5)), scaling(1.0)))
    assert all(math.isfinite(value) for place in flow.places for value in place.stream.values)
    assert math.isfinite(flow.ratio.median)
    assert not flow.is_healthy


def test_one_place_has_no_slope():
    flow = gradient_flow(case(scaling(2.0)))
    assert (flow.per_layer, flow.per_layer_interval, flow.layers) == (1.0, (1.0, 1.0), 0)
    assert flow.ratio.values == (1.0,) * len(flow.ratio.values)


def test_parts_that_no_gradient_passes_are_left_out():
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach()

    flow = gradient_flow(case(scaling(1.0), Cut(), scaling(1.0), scaling(1.0)))
    assert [place.name for place in flow.places] == ["2", "3"]


def test_a_network_without_any_gradient_is_refused_in_one_line():
    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = scaling(1.0)

        @torch.no_grad()
        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x)

    with pytest.raises(BadNetwork, match=r"^no gradient of the loss arrives at any layer of Silent; [^\n]*$"):
        gradient_flow(opened(Silent(), normal(4, 4), None, loss=summed))


def test_a_loss_of_ones_own_takes_all_that_the_module_gives():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = scaling(1.0)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.layer(x), "other": 2 * self.layer(x)}

    def loss(output: dict[str, Tensor], _labels: object) -> Tensor:
        return output["other"].sum(1).mean()

    flow = gradient_flow(opened(Two(), normal(4, 4), None, loss=loss))
    assert [place.stream.median for place in flow.places] == pytest.approx([4.0])


def test_an_alpha_of_the_addition_scales_its_term():
    """x + 0.1 · F(x) by ``torch.add(x, F, alpha=0.1)``, F(x) = 3x: terms 0.3 g and g."""

    class Alpha(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = scaling(3.0)

        def forward(self, x: Tensor) -> Tensor:
            return torch.add(x, self.layer(x), alpha=0.1)

    place = gradient_flow(case(Alpha())).places[-1]
    assert median(values(place.branch)) == pytest.approx(0.3 * place.stream.median)
    assert median(values(place.source)) == pytest.approx(1.3 * place.stream.median)


def test_blocks_that_a_step_drops_do_not_disturb():
    spec = NetworkSpec(stem=small_stem(4), blocks=(6,), widths=(4,), classes=3, last_survival=0.3)
    images, labels = normal(64, 3, 6, 6), torch.arange(64) % 3
    with torch.random.fork_rng():
        torch.manual_seed(1)
        flow = gradient_flow(opened(build(spec, seed=0), images, labels), size=8, batches=8)
    assert all(1 <= len(place.stream.values) <= 8 for place in flow.places)
    assert {len(place.stream.values) for place in flow.places} != {8}


def test_the_module_and_the_random_state_come_back_as_they_were():
    spec = NetworkSpec(stem=small_stem(4), blocks=(2,), widths=(4,), classes=3)
    network = build(spec, seed=0).eval()
    network.head.weight.grad = held = torch.ones_like(network.head.weight)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state = torch.get_rng_state()
    given = opened(network, normal(16, 3, 6, 6), torch.arange(16) % 3)
    first, second = gradient_flow(given, size=8), gradient_flow(given, size=8)
    assert first == second
    assert torch.equal(torch.get_rng_state(), state)
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert network.head.weight.grad is held
    assert torch.equal(held, torch.ones_like(held))
    assert network.head.bias.grad is None


def test_the_two_terms_sum_to_the_whole_in_place_or_not():
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            out = self.layer(self.relu(self.layer(x)))
            out += x
            return self.relu(out)

    given = opened(nn.Sequential(nn.Linear(4, 4), InPlace()), normal(8, 4))
    assert len(trace(given.module, given.examples).additions) == 1
    place = next(one for one in gradient_flow(given).places if one.kind == "addition")
    assert values(place.shortcut) == pytest.approx(place.stream.values)
    both = zip(values(place.branch), values(place.shortcut), strict=True)
    assert all(whole <= sum(terms) + 1e-6 for whole, terms in zip(values(place.source), both, strict=True))


def test_a_norm_that_its_owner_holds_in_evaluation_mode_stays_so():
    """By running statistics of variance 100 the norm divides the gradient by ten; the batch's would set its scale."""
    norm = nn.BatchNorm1d(4)
    nn.init.constant_(norm.get_buffer("running_var"), 100.0)
    given = case(scaling(1.0), norm, scaling(1.0), scaling(1.0))
    given.module.train()
    norm.eval()
    assert gradient_flow(given).places[0].stream.median == pytest.approx(2 / 10, rel=1e-4)
    given.module.eval()
    assert gradient_flow(given).places[0].stream.median != pytest.approx(2 / 10, rel=1e-4)


def test_dropout_draws_the_same_whatever_was_drawn_before():
    given, found = case(scaling(1.0), nn.Dropout(), scaling(1.0), scaling(1.0)), []
    with torch.random.fork_rng(devices=[]):
        for seed in (1, 2):
            torch.manual_seed(seed)
            found.append(gradient_flow(given, size=4).places[0].stream.values)
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


def test_a_block_says_what_its_shortcut_is_and_whether_it_could_be_the_identity():
    spec = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), shortcut="padded", in_channels=1, classes=3)
    case = opened(build(spec, seed=0), torch.randn(8, 1, 8, 8), torch.arange(8) % 3)
    blocks = [place for place in gradient_flow(case).places if place.kind == "addition"]
    assert [(one.shortcut_kind, one.keeps_shape) for one in blocks] == [("identity", True), ("free", False)]
