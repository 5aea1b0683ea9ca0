from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from residua.artifact import Artifact
from residua.data.dataset import Preprocessing
from residua.errors import BadData
from residua.inference.predictor import Prediction, Predictor, Unreadable
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=3, classes=3)
LOOK = Preprocessing(image_size=(16, 16), channels=3, mean=(0.5,) * 3, std=(0.25,) * 3)
CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def predictor() -> Predictor:
    weights = build(SPEC, seed=0).state_dict()
    kept = Artifact(specification=SPEC, classes=CLASSES, preprocessing=LOOK, weights=weights)
    return Predictor(kept, device="cpu")


def picture(seed: int, side: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def test_a_prediction_is_the_softmax_of_the_normalised_image(predictor: Predictor):
    pixels = torch.from_numpy(np.array(picture(0))).permute(2, 0, 1)[None]
    expected = build(SPEC, seed=0).eval()((pixels / 255 - 0.5) / 0.25).softmax(1)[0]
    answer = predictor.predict(picture(0))
    found = dict(zip(answer.classes, answer.probabilities, strict=True))
    assert [found[name] for name in CLASSES] == pytest.approx(expected.tolist(), abs=1e-5)
    assert answer.probabilities == tuple(sorted(answer.probabilities, reverse=True))
    assert (answer.label, answer.probability) == (answer.classes[0], answer.probabilities[0])


def test_a_file_an_array_and_a_picture_are_the_same_image(predictor: Predictor, tmp_path: Path):
    picture(1).save(tmp_path / "a.png")
    by_file = predictor.predict(tmp_path / "a.png")
    assert by_file.file == str(tmp_path / "a.png")
    for same in (picture(1), np.array(picture(1))):
        assert predictor.predict(same).probabilities == by_file.probabilities


def test_more_than_a_batch_is_answered_in_order(predictor: Predictor, tmp_path: Path):
    paths = [tmp_path / f"{index}.png" for index in range(40)]
    for index, path in enumerate(paths):
        picture(index).save(path)
    answers = list(predictor.predict_files(paths))
    assert [answer.file for answer in answers] == [str(path) for path in paths]
    alone = predictor.predict(paths[35])
    assert isinstance(answers[35], Prediction)
    assert answers[35].label == alone.label
    assert answers[35].probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_a_bad_image_is_reported_and_the_others_answered(predictor: Predictor, tmp_path: Path):
    picture(0).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    picture(2).save(tmp_path / "c.png")
    first, bad, last = predictor.predict_files([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"])
    assert isinstance(first, Prediction)
    assert isinstance(last, Prediction)
    assert last.file == str(tmp_path / "c.png")
    assert isinstance(bad, Unreadable)
    assert "b.png" in bad.reason


def test_a_missing_file_is_one_line(predictor: Predictor, tmp_path: Path):
    with pytest.raises(BadData, match="nowhere.png"):
        predictor.predict(tmp_path / "nowhere.png")


def test_top_keeps_the_most_probable(predictor: Predictor):
    answer = predictor.predict(picture(0))
    assert answer.top(2).classes == answer.classes[:2]
    assert answer.top(9) == answer
