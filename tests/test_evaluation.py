import math

import pytest
import torch
from sklearn.metrics import log_loss

from residua.data.dataset import Part, Preprocessing
from residua.evaluation import (
    Outcome,
    accuracy_interval,
    calibration_error,
    evaluate,
    fitted_temperature,
    metrics,
    reliability,
    views_of,
)

PLAIN = Preprocessing(image_size=(4, 4), channels=1, mean=(0.0,), std=(1.0,))


def outcome_of(probabilities: list[list[float]], labels: list[int]) -> Outcome:
    return Outcome(logits=torch.tensor(probabilities).log(), labels=torch.tensor(labels))


FOUR = outcome_of([[0.92, 0.08], [0.62, 0.38], [0.27, 0.73], [0.84, 0.16]], [0, 1, 1, 0])


def test_accuracy_and_loss_are_those_of_scikit_learn():
    assert FOUR.accuracy == 0.75
    assert FOUR.loss == pytest.approx(log_loss(FOUR.labels, FOUR.logits.double().softmax(1)), abs=1e-6)


def test_the_interval_is_wilsons():
    """Wilson 1927: for 8 of 10, the published 95 % interval is 0.490 to 0.943."""
    assert accuracy_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert accuracy_interval(0, 10)[0] == 0
    assert accuracy_interval(10, 10)[1] == 1


def test_the_confusion_matrix_has_true_classes_as_rows():
    assert metrics(FOUR, ("a", "b"))["confusion"] == [[2, 0], [1, 1]]


def test_a_class_that_is_never_predicted_has_no_precision():
    always_first = outcome_of([[0.9, 0.1], [0.9, 0.1]], [0, 1])
    first, second = metrics(always_first, ("a", "b"))["per_class"]
    assert (first["precision"], first["recall"]) == (0.5, 1.0)
    assert (second["precision"], second["recall"]) == (None, 0.0)


def test_the_calibration_error_is_the_mean_distance_of_confidence_and_accuracy():
    """Guo et al. 2017, Eq. 3, by hand: four bins with one image each."""
    by_hand = (abs(0.62 - 0) + abs(0.73 - 1) + abs(0.84 - 1) + abs(0.92 - 1)) / 4
    assert calibration_error(FOUR) == pytest.approx(by_hand, abs=1e-6)
    assert sum(row["images"] for row in reliability(FOUR)) == 4


def test_a_certain_prediction_stands_in_the_last_bin():
    certain = Outcome(logits=torch.tensor([[1000.0, 0.0]]), labels=torch.tensor([0]))
    assert [(row["low"], row["high"]) for row in reliability(certain)] == [(0.9, 1.0)]


def test_every_image_is_asked_once_in_order_and_the_mode_comes_back():
    class Brightness(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert not self.training
            return torch.cat([images.mean((1, 2, 3))[:, None], torch.zeros(len(images), 1)], 1)

    images = torch.arange(251, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4).repeat(2, 1, 1, 1)
    part = Part(name="test", images=images, labels=torch.zeros(502, dtype=torch.int64), files=("",) * 502)
    network = Brightness().train()
    seen = evaluate(network, part, PLAIN, device=torch.device("cpu"))
    assert torch.allclose(seen.logits[:, 0], images[:, 0, 0, 0].float() / 255)
    assert network.training


def test_a_loss_of_ln_k_is_chance():
    assert outcome_of([[0.25] * 4] * 3, [0, 1, 2]).loss == pytest.approx(math.log(4))


def test_six_views_are_an_image_and_two_shifts_each_mirrored_too():
    """Half of the weight on the image and its mirror image, a quarter on each corner's pair (Jordan 2024, §3.6)."""
    images = torch.arange(2 * 16.0).view(2, 1, 4, 4)
    framed = torch.nn.functional.pad(images, (1, 1, 1, 1), mode="reflect")
    expected = []
    for weight, top in ((0.25, 1), (0.125, 0), (0.125, 2)):
        view = framed[:, :, top : top + 4, top : top + 4]
        expected += [(weight, view), (weight, view.flip(3))]
    found = list(views_of(images, "six"))
    assert [weight for weight, _ in found] == [weight for weight, _ in expected]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))
    assert torch.equal(found[0][1], images)
    assert [weight for weight, _ in views_of(images, "mirror")] == [0.5, 0.5]


def test_logits_of_views_are_averaged():
    """A network that reads the left half minus the right one gives 0 for an image and its mirror image together."""

    class Sides(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[..., :2].sum((1, 2, 3)), x[..., 2:].sum((1, 2, 3))], dim=1)

    images = torch.randint(256, (5, 1, 4, 4), dtype=torch.uint8)
    part = Part(name="test", images=images, labels=torch.zeros(5, dtype=torch.int64), files=tuple("abcde"))
    once, mirrored = (evaluate(Sides(), part, PLAIN, device=torch.device("cpu"), views=v) for v in ("one", "mirror"))
    assert (once.logits[:, 0] != once.logits[:, 1]).any()
    torch.testing.assert_close(mirrored.logits[:, 0], mirrored.logits[:, 1])


def drawn_outcome(images: int, *, times: float, seed: int = 0) -> Outcome:
    """Labels drawn from the softmax of logits that are then multiplied: at temperature ``times`` they are honest."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return Outcome(logits=times * logits, labels=labels)


@pytest.mark.parametrize("times", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_the_logits_were_multiplied_by(times: float):
    """Guo et al. 2017, §4.2; measured on other images of the same kind, the calibration error falls to near 0."""
    temperature = fitted_temperature(drawn_outcome(20_000, times=times))
    assert temperature == pytest.approx(times, rel=0.03)
    assert calibration_error(drawn_outcome(20_000, times=times, seed=1).at(temperature)) < 0.01


def test_the_temperature_is_where_a_fine_search_finds_the_lowest_loss():
    """Naive reference: with many images the targets of Platt 1999 are the labels."""
    outcome = drawn_outcome(5_000, times=1.7)
    grid = [1.2 * 1.001**step for step in range(800)]
    assert fitted_temperature(outcome) == pytest.approx(min(grid, key=lambda t: outcome.at(t).loss), rel=0.005)


def test_a_part_without_a_mistake_does_not_ask_for_certainty():
    """Platt 1999, §2.2: of n images, all right, the probability of the label comes to (n + 1)/(n + 2)."""
    sure = Outcome(logits=torch.tensor([[4.0, 0.0]] * 98), labels=torch.zeros(98, dtype=torch.int64))
    probabilities = sure.at(fitted_temperature(sure)).probabilities
    assert float(probabilities[0, 0]) == pytest.approx(99 / 100, abs=1e-5)


def test_a_temperature_changes_no_class_even_where_probabilities_become_equal():
    """At a high temperature two logits that differ in the last place have the same probability in float32."""
    close = Outcome(logits=torch.tensor([[1.0, 1.0 + 2**-23], [0.0, 5.0]]), labels=torch.tensor([1, 1]))
    warm = close.at(100.0)
    assert torch.equal(warm.predicted, close.predicted)
    assert warm.accuracy == 1.0
    assert sum(row["accuracy"] * row["images"] for row in reliability(warm)) == 2


def test_one_class_has_no_temperature():
    assert fitted_temperature(Outcome(logits=torch.ones(3, 1), labels=torch.zeros(3, dtype=torch.int64))) == 1.0


def test_the_numbers_of_a_part_hold_both_calibrations():
    numbers = metrics(FOUR.at(2.0), ("a", "b"))
    assert (numbers["loss"], numbers["calibration_error"]) == (FOUR.at(2.0).loss, calibration_error(FOUR.at(2.0)))
    before = numbers["uncalibrated"]
    assert (before["temperature"], before["loss"], before["calibration_error"]) == (
        1.0,
        FOUR.loss,
        calibration_error(FOUR),
    )
    assert numbers["accuracy"] == FOUR.accuracy
