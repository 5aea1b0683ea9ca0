"""Policies for batch norms, against forward passes that are written out by hand."""

import numpy as np
import pytest
import torch
from tests.diagnostics.landscape.surveyed import line, moved_by_hand, network, normal, pictures, plane
from torch import Tensor, nn
from torch.nn import functional

from residua.diagnostics.case import Case, opened
from residua.diagnostics.landscape.evaluating import part_of, question
from residua.diagnostics.landscape.grid import Grid
from residua.diagnostics.landscape.moving import moving
from residua.diagnostics.landscape.survey import survey

NONE = torch.device("cpu")


def with_dropout() -> nn.Module:
    """Draws in training mode, which no policy may let it do."""
    return nn.Sequential(network(), nn.Dropout(0.5))


def by_hand(case: Case, grid: Grid, measure) -> list[float]:
    """The loss at the points of a line, each by a network of its own."""
    return [measure(moved_by_hand(case.module, grid, [x])) for x in grid.axes[0].values]


def batches(case: Case, count: int) -> list[tuple[Tensor, Tensor]]:
    size = len(case.examples) // count
    images, labels = case.examples.args[0], case.examples.labels
    return [(images[k * size : (k + 1) * size], labels[k * size : (k + 1) * size]) for k in range(count)]


def in_training_mode(module: nn.Module) -> nn.Module:
    module.eval()
    for one in module.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.train()
    return module


def test_frozen_keeps_the_statistics_of_the_centre():
    module = with_dropout()
    case, grid = pictures(module), line(module)
    found = survey(case, grid, policy="frozen")
    expected = by_hand(case, grid, lambda one: float(case.loss(one(case.examples.args[0]), case.examples.labels)))
    np.testing.assert_allclose(found.cells[0].loss[0], expected, rtol=1e-10)


@pytest.mark.parametrize("count", [1, 3])
def test_batch_takes_the_statistics_of_each_batch_as_in_training(count: int, monkeypatch):
    monkeypatch.setattr("residua.diagnostics.landscape.evaluating._OF_STATISTICS", 12 // count)
    module = with_dropout()
    case, grid = pictures(module), line(module)

    def measure(one: nn.Module) -> float:
        in_training_mode(one)
        losses = [float(functional.cross_entropy(one(images), labels)) for images, labels in batches(case, count)]
        return sum(losses) / count

    found = survey(case, grid, policy="batch")
    np.testing.assert_allclose(found.cells[0].loss[0], by_hand(case, grid, measure), rtol=1e-10)


@pytest.mark.parametrize("count", [1, 3])
def test_recalibrated_averages_the_batches_statistics_at_each_point(count: int, monkeypatch):
    """Every batch counts alike (momentum none); the held-out part is under the same statistics as the first."""
    monkeypatch.setattr("residua.diagnostics.landscape.evaluating._OF_STATISTICS", 12 // count)
    module = with_dropout()
    case, grid = pictures(module, held_out=12), line(module)
    assert case.held_out is not None
    unseen = case.held_out

    def settled(one: nn.Module) -> nn.Module:
        for norm in in_training_mode(one).modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.reset_running_stats()
                norm.momentum = None
        for images, _ in batches(case, count):
            one(images)
        return one.eval()

    found = survey(case, grid, policy="recalibrated")
    for cells, examples in zip(found.cells, (case.examples, unseen), strict=True):

        def measure(one: nn.Module, examples=examples) -> float:
            return float(functional.cross_entropy(settled(one)(examples.args[0]), examples.labels))

        np.testing.assert_allclose(cells.loss[0], by_hand(case, grid, measure), rtol=1e-10)


def test_the_policies_differ_where_norms_do():
    module = network()
    frozen, batch, anew = (
        survey(pictures(module), line(module), policy=policy).cells[0].loss
        for policy in ("frozen", "batch", "recalibrated")
    )
    assert (np.abs(frozen - batch) > 1e-3).all()
    assert (np.abs(batch - anew) > 1e-6).all()  # variances divided by n in one, by n − 1 in the other
    plain = nn.Sequential(nn.Flatten(), nn.Linear(72, 3)).double()
    same = [survey(pictures(plain), line(plain), policy=policy).cells[0].loss for policy in ("frozen", "batch")]
    np.testing.assert_array_equal(same[0], same[1])


@pytest.mark.parametrize("images", [1, 63, 64, 65, 130])
def test_batches_are_of_nearly_one_size_and_hold_every_image_once(images: int):
    examples = opened(nn.Linear(1, 2), torch.arange(300.0).view(-1, 1), torch.arange(300) % 2).examples
    part = part_of("train", examples, images, size=64, device=NONE)
    seen = torch.cat([batch.args[0] for batch in part.batches])
    assert part.images == len(seen.unique()) == images
    sizes = [len(batch) for batch in part.batches]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 64


def test_the_loss_is_the_mean_over_images_whatever_the_batches_are(monkeypatch):
    """Labels that torch's cross-entropy leaves out are left out of mean and error."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)).double()
    labels = torch.tensor([0, 1, 2, -100, -100, 1, 0])
    case = opened(module, normal(7, 6), labels)
    monkeypatch.setattr("residua.diagnostics.landscape.evaluating._ON_PROCESSOR", 2)
    cells = survey(case, line(module, x=(0.0, 1.0))).cells[0]
    with torch.no_grad():
        logits = module(case.examples.args[0])
    assert cells.loss[0, 0] == pytest.approx(float(functional.cross_entropy(logits, labels)), rel=1e-12)
    known = labels != -100
    assert cells.error is not None
    assert cells.error[0, 0] == float((logits.argmax(1) != labels)[known].double().mean())


def test_there_is_an_error_where_labels_are_classes_whatever_the_loss():
    module = nn.Linear(6, 3).double()
    smoothed = nn.CrossEntropyLoss(label_smoothing=0.1)
    classes = survey(opened(module, normal(8, 6), torch.arange(8) % 3, loss=smoothed), line(module))
    assert classes.cells[0].error is not None
    numbers = survey(opened(module, normal(8, 6), normal(8, 3), loss=nn.MSELoss()), line(module))
    assert numbers.cells[0].error is None


class Drawing(nn.Module):
    """Draws in evaluation mode, too, and counts its passes in a buffer that it reads."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3).double()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        return self.layer(x + torch.randn_like(x)) * self.count


def test_a_cell_does_not_depend_on_those_before_it():
    module = Drawing()
    case = opened(module, normal(8, 6), torch.arange(8) % 3)
    whole = survey(case, line(module, x=(-1.0, 0.0, 0.5, 1.0))).cells[0].loss[0]
    alone = survey(case, line(module, x=(0.5, 1.0))).cells[0].loss[0]
    np.testing.assert_array_equal(whole[2:], alone)
    assert float(module.count) == 0


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.layer(x), "beside": x}


def test_a_module_whose_outputs_are_no_tensor_is_computed_in_float32():
    """A loss of one's own may read anything of them, in bfloat16 too coarsely."""
    module = Two()
    images, labels = normal(8, 6).float(), torch.arange(8) % 3
    own = opened(module, images, labels, loss=lambda given, _: given["logits"].square().mean())
    with moving(module, [], own.examples) as moved:
        asked = question(own, moved, policy="frozen", images=None, names=("train",), precision=None)
    assert asked.precision == "float32"


def test_a_module_that_does_not_pass_in_bfloat16_is_computed_in_float32():
    class Particular(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            given = super().forward(input)
            if given.dtype == torch.bfloat16:
                raise RuntimeError("not implemented for 'BFloat16'")
            return given

    module = Particular(6, 3)
    found = survey(opened(module, normal(8, 6).float(), torch.arange(8) % 3), plane(module))
    assert (found.precision.name, found.done) == ("float32", 1)


def test_a_mapping_of_logits_has_a_surface():
    module = Two()
    found = survey(opened(module, normal(8, 6).float(), torch.arange(8) % 3), line(module))
    assert found.cells[0].error is not None
