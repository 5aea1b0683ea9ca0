from pathlib import Path

import pytest
import torch
from tests.training.conftest import TINY

from residua.report.gather import pictures_of
from residua.training.fit import Fitted, fit
from residua.training.plan import plan
from residua.training.spec import TrainSpec


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """One epoch of a tiny network: most of the test images are mistakes."""
    return fit(plan(TrainSpec(network=TINY, epochs=1)), out=tmp_path_factory.mktemp("runs") / "a")


def test_the_samples_are_training_images_as_an_epoch_shows_them(fitted: Fitted):
    pictures = pictures_of(fitted)
    assert pictures.samples.shape == (32, 1, 8, 8)
    assert pictures.samples.dtype == torch.uint8
    train = fitted.plan.dataset.train
    brightest = {int(image.max()) for image in train.images}
    assert {int(image.max()) for image in pictures.samples} <= brightest
    assert set(pictures.sample_labels) <= set(fitted.plan.dataset.classes)


def test_the_mistakes_are_the_most_confident_ones(fitted: Fitted):
    mistakes = pictures_of(fitted).mistakes
    rows = fitted.record.predictions("test")
    wrong = sorted((max(row["probabilities"]) for row in rows if row["predicted"] != row["label"]), reverse=True)
    assert [mistake.probability for mistake in mistakes] == wrong[:12]
    by_file = {row["file"]: row for row in rows}
    for mistake in mistakes:
        row = by_file[mistake.file]
        assert (mistake.label, mistake.predicted) == (row["label"], row["predicted"])
        assert mistake.label != mistake.predicted


def test_a_mistakes_picture_is_its_file(fitted: Fitted):
    test = fitted.plan.dataset.test
    assert test is not None
    for mistake in pictures_of(fitted).mistakes:
        assert torch.equal(mistake.image, test.images[test.files.index(mistake.file)])


def test_a_map_runs_from_no_evidence_to_the_strongest(fitted: Fitted):
    for mistake in pictures_of(fitted).mistakes:
        assert mistake.activation_map.shape == (8, 8)
        assert mistake.activation_map.min() >= 0
        assert mistake.activation_map.max() == pytest.approx(1, abs=1e-5) or mistake.activation_map.max() == 0


def test_a_page_is_drawn_from_a_real_run(fitted: Fitted):
    from residua.report.page import write_report

    page = write_report(fitted.record.path, pictures_of(fitted))
    assert page == Path(fitted.record.path / "report.html")
    assert "data:image/png;base64," in page.read_text(encoding="utf-8")
