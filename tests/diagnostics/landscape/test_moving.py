"""How a module is moved, and that it comes back where it cannot be copied."""

import copy
import warnings

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import direction, line, naive, network, normal, pictures, plane
from torch import Tensor, nn

from residua.diagnostics.case import opened
from residua.diagnostics.landscape.between import between
from residua.diagnostics.landscape.layout import flat
from residua.diagnostics.landscape.moving import moving
from residua.diagnostics.landscape.survey import survey
from residua.errors import BadNetwork


class NoCopy(nn.Module):
    """Refuses to be copied, as modules do that hold a lock or a tensor of a graph."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = network()

    def __deepcopy__(self, _memo: dict) -> "NoCopy":
        raise RuntimeError("cannot be copied")

    def forward(self, x: Tensor) -> Tensor:
        return self.inside(x)


def test_a_point_is_an_exact_sum_and_zeros_are_the_centre_to_the_bit():
    module = network()
    steps = [direction(module, 1), direction(module, 2)]
    with moving(module, steps, pictures(module).examples) as moved:
        moved.to([0.5, -0.25])
        expected = flat(module) + 0.5 * steps[0].vector.double() - 0.25 * steps[1].vector.double()
        assert torch.equal(flat(moved.module), expected)
        moved.to([0.0, 0.0])
        assert torch.equal(flat(moved.module), flat(module))


def test_one_along_the_line_to_another_network_is_that_network_to_the_bit():
    here, there = network().float(), network(seed=1).float()
    with torch.no_grad():
        for one in there.parameters():
            one.mul_(1e-4)  # whose last digits a float32 difference would not hold
        for name, one in there.named_buffers():
            if name.endswith("running_var"):
                one.mul_(1e-4)
    with moving(here, [between(here, there)], pictures(network()).examples) as moved:
        moved.to([1.0])
        found = moved.module.state_dict()
        assert all(torch.equal(found[name], one) for name, one in there.state_dict().items())


def test_a_module_that_cannot_be_copied_is_moved_in_place_and_put_back():
    module = NoCopy().train()
    case, grid = pictures(module), plane(module)
    before = {name: one.clone() for name, one in module.state_dict().items()}
    held = [one.data_ptr() for one in module.parameters()]
    reference = opened(module.inside, case.examples.args[0], case.examples.labels)
    found = survey(case, grid)
    np.testing.assert_allclose(found.cells[0].loss, naive(reference, grid), rtol=1e-10)
    assert found.folded == 0
    assert "moved in place and put back" in found.remarks[0]
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert [one.data_ptr() for one in module.parameters()] == held
    assert module.training


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_it_is_put_back_after_an_interruption_too(stop: type[BaseException]):
    module = NoCopy()
    before = {name: one.clone() for name, one in module.state_dict().items()}

    def told(_surface, _left) -> None:
        raise stop

    with pytest.raises(stop):
        survey(pictures(module), plane(module), told=told)
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())


def test_a_weight_that_a_hook_computes_is_moved():
    """Torch's older weight norm makes its weight before each pass, which no copy survives."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        layer = nn.utils.weight_norm(nn.Linear(6, 3).double())
    module = nn.Sequential(nn.Flatten(), layer)
    case = opened(module, normal(8, 6), torch.arange(8) % 3)
    case.loss_of(case.examples)  # so that the weight is one of a graph, which deepcopy refuses
    with pytest.raises(RuntimeError):
        copy.deepcopy(module)
    grid = line(module)
    found = survey(case, grid).cells[0].loss[0]
    start, step = flat(module), grid.axes[0].direction.vector.double()
    for x, loss in zip(grid.axes[0].values, found, strict=True):
        nn.utils.vector_to_parameters(start + x * step, module.parameters())
        assert loss == pytest.approx(float(case.loss_of(case.examples).detach()), rel=1e-10)


class Viewing(nn.Module):
    """Looks at what a convolution gives as rows, which channels-last layout forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 4, 3)
        self.head = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.convolution(x).view(len(x), -1))


@pytest.mark.parametrize(("make", "expected"), [(Viewing, False), (network, True)])
def test_pictures_are_laid_out_as_the_module_takes_them(make, expected: bool):
    module = make().double()
    case = opened(module, normal(8, 2, 6, 6), torch.arange(8) % 3)
    with moving(module, [], case.examples) as moved:
        assert moved.channels_last == expected
    grid = plane(module)
    np.testing.assert_allclose(survey(case, grid).cells[0].loss, naive(case, grid), rtol=1e-10)


def test_half_precision_weights_and_a_failing_forward():
    module = nn.Linear(6, 3).bfloat16()
    case = opened(module, normal(8, 6).bfloat16(), torch.arange(8) % 3)
    found = survey(case, line(module, scale=0.01))
    assert found.done == 1
    broken = opened(nn.Linear(6, 3), normal(8, 6).float(), torch.arange(8) % 3)
    broken.module.register_forward_hook(_fails)
    with pytest.raises(BadNetwork, match="cannot take these inputs: no more"):
        survey(broken, line(broken.module))


def _fails(*_given: object) -> None:
    raise RuntimeError("no more")
