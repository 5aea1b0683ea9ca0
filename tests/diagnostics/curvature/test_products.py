"""Products of the Hessian: the dense Hessian's, the mean's and not the sum's, under both norm policies, both ways."""

import copy
from dataclasses import replace

import pytest
import torch
from tests.diagnostics.curvature.dense import (
    convolutional,
    drawn,
    images_case,
    quadratic_case,
    small,
    symmetric,
    whole_hessian,
)
from torch import Tensor, nn
from torch.func import functional_call

from residua.diagnostics.case import opened, undisturbed
from residua.diagnostics.curvature import products as products_file
from residua.diagnostics.curvature.products import products_of
from residua.diagnostics.landscape.layout import layout_of
from residua.errors import BadData, BadNetwork, BadSetting


@pytest.mark.parametrize("way", ["forward", "reverse"])
@pytest.mark.parametrize("policy", ["frozen", "batch"])
def test_a_product_is_the_dense_hessians(way, policy):
    case = images_case()
    with undisturbed(case.module) as module:
        module.eval()
        small(case).norm.train(policy == "batch")
        expected = whole_hessian(case)
    v = drawn(len(expected), seed=2)
    with products_of(case, case.examples, policy=policy, way=way) as product:
        torch.testing.assert_close(product(v), expected @ v, rtol=1e-10, atol=1e-12)
        assert product.taken == 1


@pytest.mark.parametrize("way", ["forward", "reverse"])
def test_other_weights_than_the_modules_may_be_given(way):
    case = images_case()
    theta, v = drawn(127, seed=4), drawn(127, seed=2)
    with products_of(case, case.examples, way=way) as product:
        found, (loss, gradient) = product(v, theta), product.loss_and_gradient(theta)
        assert not torch.allclose(found, product(v))
    moved = copy.deepcopy(case.module).eval()
    torch.nn.utils.vector_to_parameters(theta, moved.parameters())
    there = replace(case, module=moved)
    torch.testing.assert_close(found, whole_hessian(there) @ v, rtol=1e-10, atol=1e-12)
    value = there.loss_of(there.examples)
    assert loss == pytest.approx(float(value.detach()), rel=1e-12)
    plain = torch.autograd.grad(value, list(moved.parameters()))
    torch.testing.assert_close(gradient, torch.cat([one.flatten() for one in plain]))


def test_the_hessian_of_a_quadratic_is_its_matrix_everywhere():
    matrix = symmetric(torch.linspace(-2, 5, 9, dtype=torch.float64))
    case = quadratic_case(matrix)
    with products_of(case, case.examples) as product:
        for seed in (0, 1):
            v = drawn(9, seed=seed)
            torch.testing.assert_close(product(v, 10 * drawn(9, seed=seed + 5)), matrix @ v)


def test_it_is_of_the_mean_however_many_pass_at_once_and_however_often_they_repeat(monkeypatch):
    case, v = images_case(count=11), drawn(127, seed=2)
    found = []
    monkeypatch.setattr(products_file, "_NUMBERS_AT_ONCE", 1)
    for at_once in (32, 4, 1):
        monkeypatch.setattr(products_file, "_AT_ONCE", {"cpu": at_once})
        with products_of(case, case.examples) as product:
            found.append((product(v), product.loss_and_gradient()[1]))
    twice = case.examples.take(torch.arange(22) % 11)
    with products_of(case, twice) as product:
        found.append((product(v), product.loss_and_gradient()[1]))
    for hv, gradient in found[1:]:
        torch.testing.assert_close(hv, found[0][0], rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-10, atol=1e-13)


def test_small_examples_pass_together_and_large_ones_in_pieces(monkeypatch):
    monkeypatch.setattr(products_file, "_AT_ONCE", {"cpu": 2})
    case, size = images_case(count=11), images_case().examples.args[0][0].numel()
    for room, expected in ((11 * size, 1), (4 * size, 3), (1, 6)):
        monkeypatch.setattr(products_file, "_NUMBERS_AT_ONCE", room)
        with products_of(case, case.examples) as product:
            assert len(product._pieces) == expected


def test_labels_that_the_loss_leaves_out_count_in_no_piece(monkeypatch):
    """The mean is over the others: pieces of 4 that hold 4, 1 and 0 of these have shares 4/5, 1/5 and 0."""
    monkeypatch.setattr(products_file, "_AT_ONCE", {"cpu": 4})
    monkeypatch.setattr(products_file, "_NUMBERS_AT_ONCE", 1)
    case, v = images_case(), drawn(127, seed=2)
    case.examples.labels[5:] = -100
    with products_of(case, case.examples) as product:
        found = product(v)
    with products_of(case, case.examples.take(slice(0, 5))) as product:
        torch.testing.assert_close(found, product(v), rtol=1e-10, atol=1e-13)
    case.examples.labels[:] = -100
    with pytest.raises(BadData, match="every label is -100"), products_of(case, case.examples):
        pass


def test_under_batch_the_loss_is_the_mean_over_batches(monkeypatch):
    monkeypatch.setattr(products_file, "BATCH", 6)
    case, v = images_case(), drawn(127, seed=2)
    with products_of(case, case.examples, policy="batch") as product:
        found = product(v)
    halves = []
    for part in (slice(0, 6), slice(6, 12)):
        with products_of(case, case.examples.take(part), policy="batch") as product:
            halves.append(product(v))
    torch.testing.assert_close(found, (halves[0] + halves[1]) / 2, rtol=1e-10, atol=1e-13)


def test_float32_products_point_where_float64_ones_do():
    """Differences of gradients in float32 had a cosine of 0.42."""
    wide = images_case()
    narrow = opened(copy.deepcopy(wide.module).float(), wide.examples.args[0].float(), wide.examples.labels)
    v = drawn(127, seed=2)
    with products_of(wide, wide.examples) as product:
        exact = product(v)
    with products_of(narrow, narrow.examples) as product:
        found = product(v.float())
    assert found.dtype == torch.float32
    assert float(torch.cosine_similarity(found.double(), exact, dim=0)) > 0.999999


def test_half_precision_is_taken_in_float32():
    wide = images_case()
    module = copy.deepcopy(wide.module).bfloat16()
    half = opened(module, wide.examples.args[0].bfloat16(), wide.examples.labels)
    again = opened(copy.deepcopy(module).float(), half.examples.args[0].float(), wide.examples.labels)
    v = drawn(127, seed=2).float()
    found = []
    for case in (half, again):
        with products_of(case, case.examples) as product:
            found.append(product(v))
    assert torch.equal(*found)
    assert all(one.dtype == torch.bfloat16 for one in module.parameters())


def test_only_what_needs_a_gradient_is_in_it():
    case = images_case()
    expected = whole_hessian(case) if case.module.eval() else None
    assert expected is not None
    small(case).first.requires_grad_(False)
    whole = layout_of(case.module)
    learns = torch.cat([torch.full((one.numel(),), one.requires_grad) for one in case.module.parameters()])
    v = drawn(int(learns.sum()), seed=2)
    with products_of(case, case.examples) as product:
        torch.testing.assert_close(product(v), expected[learns][:, learns] @ v, rtol=1e-10, atol=1e-12)
        embedded = product.embedded(v, whole)
    assert torch.equal(embedded[learns], v)
    assert not embedded[~learns].any()
    case.module.requires_grad_(False)
    with pytest.raises(BadNetwork, match="no parameter of Small needs a gradient"), products_of(case, case.examples):
        pass


def test_buffers_that_move_are_derived_by():
    """torch's batch norm takes its derivative by running statistics for zero."""
    case, names = images_case(), ("norm.running_mean", "norm.running_var")
    module, tensors = small(case).eval(), dict(case.module.named_parameters())
    tensors |= {name: dict(module.named_buffers())[name] for name in names}
    sizes = [one.numel() for one in tensors.values()]

    def loss(theta: Tensor) -> Tensor:
        given = {name: part.view_as(tensors[name]) for name, part in zip(tensors, theta.split(sizes), strict=True)}
        x = functional_call(module.first, _of(given, "first."), case.examples.args)
        mean, variance = (given[name].view(1, 3, 1, 1) for name in names)
        x = (x - mean) / (variance + 1e-5).sqrt()
        x = (x * given["norm.weight"].view(1, 3, 1, 1) + given["norm.bias"].view(1, 3, 1, 1)).relu()
        x = x + functional_call(module.second, _of(given, "second."), (x,))
        x = nn.functional.avg_pool2d(x, 2).flatten(1).tanh()
        return case.loss(functional_call(module.head, _of(given, "head."), (x,)), case.examples.labels)

    theta = torch.cat([one.detach().reshape(-1) for one in tensors.values()])
    v = drawn(len(theta), seed=2)
    _, expected = torch.autograd.functional.hvp(loss, theta, v)
    with products_of(case, case.examples, buffers=names) as product:
        assert [slot.name for slot in product.layout.slots][-2:] == list(names)
        torch.testing.assert_close(product(v), expected, rtol=1e-10, atol=1e-12)


def _of(given: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {name.removeprefix(start): one for name, one in given.items() if name.startswith(start)}


@pytest.mark.parametrize("policy", ["frozen", "batch"])
def test_the_module_comes_back_untouched(policy):
    inside = convolutional()
    case = images_case(nn.Sequential(inside, nn.Dropout(0.5)).train())
    inside.head.requires_grad_(False)
    inside.first.weight.grad = (mark := torch.ones_like(inside.first.weight))
    before = {name: one.clone() for name, one in case.module.state_dict().items()}
    state = torch.get_rng_state()
    with products_of(case, case.examples, policy=policy) as product:
        product(drawn(len(product.centre)))
        product.loss_and_gradient()
    after = case.module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], one) for name, one in before.items())
    assert inside.first.weight.grad is mark
    assert inside.second.weight.grad is None
    assert all(one.training for one in case.module.modules())
    assert not inside.head.weight.requires_grad
    assert inside.second.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), state)


def test_a_policy_that_no_hessian_has_is_refused():
    case = images_case()
    with (
        pytest.raises(BadSetting, match="no norm policy of a Hessian"),
        products_of(case, case.examples, policy="recalibrated"),
    ):
        pass
