"""Published networks as they are used: weights, classes and preprocessing together. A loopback server stands in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import residua
from residua import artifact
from residua.data.dataset import Preprocessing
from residua.data.fitting import read_image
from residua.errors import BadSetting, BadWeights, DownloadFailed
from residua.networks import catalogue
from residua.networks.network import ResidualNetwork, build
from residua.networks.weights import published, torchvision

SPEC = catalogue.specification("resnet18")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (301, 420, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


@pytest.mark.usefixtures("internet")
def test_a_published_network_answers_with_its_classes(image: Path) -> None:
    """By hand: the shorter side 256, the middle 224, the mean and deviation of ImageNet, softmax."""
    prediction = residua.pretrained("resnet18").predict(image)
    assert len(prediction.classes) == 1000
    picture = Image.open(image).resize((int(256 * 420 / 301), 256), Image.Resampling.BILINEAR)
    left, top = round((picture.width - 224) / 2), 16
    x = np.asarray(picture.crop((left, top, left + 224, top + 224))).transpose(2, 0, 1) / 255
    x = (x - np.array([0.485, 0.456, 0.406])[:, None, None]) / np.array([0.229, 0.224, 0.225])[:, None, None]
    logits = build(SPEC, seed=9).eval()(torch.from_numpy(x)[None].float())
    probabilities = logits.detach().softmax(1)[0]
    best = int(probabilities.argmax())
    assert prediction.label == published.imagenet_classes()[best]
    assert prediction.probability == pytest.approx(float(probabilities[best]), abs=1e-5)


def test_the_second_time_nothing_is_fetched(internet: Path) -> None:
    artifact.from_published("resnet18", "torchvision")
    (internet / "resnet18-test.pth").unlink()
    assert artifact.from_published("resnet18", "torchvision").metrics["imagenet_top1_accuracy"] == 0.69758


def test_build_takes_published_weights(internet: Path) -> None:
    network = residua.build("resnet18", weights="torchvision:IMAGENET1K_V1")
    assert isinstance(network, ResidualNetwork)
    theirs = build(SPEC, seed=9).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in network.state_dict().items())
    adapted = residua.build("resnet18", weights="torchvision", classes=7, in_channels=1, seed=3)
    assert adapted(torch.randn(1, 1, 64, 64)).shape == (1, 7)
    assert torch.equal(
        adapted.get_parameter("stages.0.0.residual.convolution1.weight"),
        theirs["stages.0.0.residual.convolution1.weight"],
    )
    assert internet.is_dir()


def test_build_reads_a_file_of_either_naming(tmp_path: Path) -> None:
    spec = catalogue.specification("resnet18", classes=4, in_channels=1)
    ours = build(spec, seed=2).state_dict()
    torch.save(torchvision.to_torchvision(ours, spec), tmp_path / "theirs.pth")
    save_file(ours, tmp_path / "ours.safetensors")
    for name in ("theirs.pth", "ours.safetensors"):
        network = residua.build("resnet18", weights=tmp_path / name)
        assert all(torch.equal(value, ours[key]) for key, value in network.state_dict().items())
    with pytest.raises(BadWeights, match="ours.safetensors"):
        residua.build("resnet34", weights=tmp_path / "ours.safetensors")


@pytest.mark.parametrize(
    ("network", "weights", "error", "said"),
    [
        ("resnet18", "torchvison", BadSetting, "did you mean 'torchvision'"),
        ("resnet20", "torchvision", BadSetting, "resnet"),
        (SPEC, "torchvision", BadSetting, "by name"),
    ],
)
def test_weights_that_there_are_none_of_are_refused(network, weights: str, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        residua.build(network, weights=weights)


def test_offline_the_message_says_what_to_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    monkeypatch.setenv("RESIDUA_WEIGHTS", str(tmp_path))
    with pytest.raises(DownloadFailed, match=r"resnet50-11ad3fa6\.pth.*sha256:11ad3fa6"):
        residua.pretrained("resnet50")


def test_preprocessing_of_a_published_network_survives_the_artifact(tmp_path: Path, image: Path) -> None:
    kept = artifact.Artifact(
        specification=SPEC,
        classes=tuple(map(str, range(1000))),
        preprocessing=Preprocessing(
            image_size=(224, 224), channels=3, resize_side=232, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        weights=build(SPEC, seed=0).state_dict(),
    )
    artifact.save(kept, tmp_path / "model.safetensors")
    again = artifact.load(tmp_path / "model.safetensors")
    assert again.preprocessing == kept.preprocessing
    middle = read_image(image, again.preprocessing)
    widest = read_image(image, replace(kept.preprocessing, resize_side=None))
    assert middle.shape == widest.shape == (3, 224, 224)
    assert not torch.equal(middle, widest)


def test_a_side_below_the_cut_is_refused() -> None:
    with pytest.raises(BadSetting, match="resize_side"):
        Preprocessing(image_size=(224, 224), channels=3, resize_side=200, mean=(0.5,) * 3, std=(0.5,) * 3)
