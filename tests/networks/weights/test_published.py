"""What is published, and how it is fetched: whole, checked, once."""

import hashlib
import http.server
import re
import threading
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path

import platformdirs
import pytest

from residua.errors import BadSetting, DownloadFailed
from residua.networks import catalogue
from residua.networks.weights import published
from residua.networks.weights.published import PublishedWeights, fetch, find, imagenet_classes
from residua.networks.weights.tensors import tensors_of

TORCHVISION = published.PUBLISHED["torchvision"]
CONTENT = b"weights, as it were" * 1000
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.mark.parametrize("weights", TORCHVISION, ids=lambda weights: f"{weights.network}:{weights.name}")
def test_a_row_agrees_with_itself_and_with_its_network(weights: PublishedWeights):
    """A file holds little more than its tensors: 4 bytes a number, 2 in the first version of the wide networks."""
    tensors = tensors_of(catalogue.specification(weights.network))
    a_number = weights.size_mebibytes * 2**20 / sum(prod(tensor.shape) for tensor in tensors.values())
    halved = weights.network.startswith("wide") and weights.name == "IMAGENET1K_V1"
    assert 1 < a_number / (2 if halved else 4) < 1.005
    assert re.fullmatch(rf"{weights.network}-[0-9a-f]{{8}}\.pth", weights.file)
    assert weights.checksum == f"sha256:{weights.file[-12:-4]}"
    assert weights.address == f"https://download.pytorch.org/models/{weights.file}"
    assert find(weights.network, f"torchvision:{weights.name}") is weights


def test_the_rows_are_all_different():
    assert Counter(weights.address for weights in TORCHVISION).most_common(1)[0][1] == 1
    assert len({(weights.network, weights.name) for weights in TORCHVISION}) == len(TORCHVISION) == 17


def test_the_second_version_of_resnet50_is_as_published():
    """torchvision 0.29.2, models/resnet.py and transforms/_presets.py."""
    weights = find("resnet50", "torchvision:IMAGENET1K_V2")
    assert weights == PublishedWeights(
        network="resnet50",
        publisher="torchvision",
        name="IMAGENET1K_V2",
        address="https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
        checksum="sha256:11ad3fa6",
        size_mebibytes=97.79,
        top1_accuracy=80.858,
        resize_side=232,
        crop_side=224,
        interpolation="bilinear",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
    assert weights.title == "torchvision:IMAGENET1K_V2"


@pytest.mark.parametrize("asked", ["torchvision", "torchvision:DEFAULT"])
def test_the_best_are_the_second_version_where_there_is_one(asked: str):
    only_first = {"resnet18", "resnet34", "resnext101_64x4d"}
    for network in {weights.network for weights in TORCHVISION}:
        assert find(network, asked).name == ("IMAGENET1K_V1" if network in only_first else "IMAGENET1K_V2")


def test_the_side_that_is_first_scaled_to_is_that_of_the_recipe():
    """256 for the papers' recipe; 232 for the newer one, which also trained the one version of resnext101_64x4d."""
    newer = {weights for weights in TORCHVISION if weights.resize_side == 232}
    assert {weights.resize_side for weights in set(TORCHVISION) - newer} == {256}
    assert {weights.network for weights in newer if weights.name == "IMAGENET1K_V1"} == {"resnext101_64x4d"}
    assert {weights.network for weights in TORCHVISION if weights.name == "IMAGENET1K_V2"} <= {
        weights.network for weights in newer
    }


@pytest.mark.parametrize(
    ("network", "weights", "message"),
    [
        ("resnet18", "torchvison", "'torchvison' is no publisher of weights; did you mean 'torchvision'?"),
        ("resnet18", "torchvision:IMAGENET1K_V2", "did you mean 'IMAGENET1K_V1'?"),
        ("resnet18", "torchvision:V9", "is no name of torchvision's weights for resnet18; allowed: DEFAULT, IMAGENET"),
        ("resnet200", "torchvision", "is no network that torchvision publishes weights for; did you mean 'resnet"),
        ("plain18", "torchvision", "'plain18' is no network that torchvision publishes weights for"),
    ],
)
def test_what_is_not_published_is_said_with_the_nearest(network: str, weights: str, message: str):
    with pytest.raises(BadSetting, match=re.escape(message)):
        find(network, weights)


class Server:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.content = CONTENT
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", str(len(server.content)))
                self.end_headers()
                self.wfile.write(server.content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/models"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """Serves one small file in the place of resnet18's weights; they are kept in a folder of the test's own."""
    running = Server()
    name = f"resnet18-{DIGITS}.pth"
    small = replace(find("resnet18", "torchvision"), address=f"{running.address}/{name}", checksum=f"sha256:{DIGITS}")
    monkeypatch.setattr(published, "PUBLISHED", {"torchvision": (small,)})
    monkeypatch.setenv(published.ROOT_VARIABLE, str(tmp_path / "kept"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("RESIDUA_OFFLINE", "RESIDUA_MIRROR"):
        monkeypatch.delenv(variable, raising=False)
    thread = threading.Thread(target=running.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.http.shutdown()
    running.http.server_close()
    thread.join()


def test_weights_are_fetched_once(server: Server, tmp_path: Path):
    told: list[tuple[int, int | None]] = []
    path = fetch(find("resnet18", "torchvision"), progress=lambda *event: told.append(event))
    assert path == tmp_path / "kept" / f"resnet18-{DIGITS}.pth"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(find("resnet18", "torchvision")) == path
    assert server.asked == [f"/models/resnet18-{DIGITS}.pth"]


def test_a_file_whose_digest_begins_otherwise_is_not_kept(server: Server, tmp_path: Path):
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadFailed, match=f"gave a file with sha256:.*, not sha256:{DIGITS}: nothing was kept"):
        fetch(find("resnet18", "torchvision"))
    assert list((tmp_path / "kept").iterdir()) == []


def test_offline_the_way_round_is_named(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RESIDUA_OFFLINE", "1")
    with pytest.raises(DownloadFailed) as caught:
        fetch(find("resnet18", "torchvision"))
    name = f"resnet18-{DIGITS}.pth"
    for part in ("RESIDUA_OFFLINE", f"{server.address}/{name}", str(tmp_path / "kept" / name), f"(sha256:{DIGITS})"):
        assert part in str(caught.value)
    assert server.asked == []


def test_they_are_kept_in_the_users_cache_or_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(published.ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache" / name)
    assert published.root_folder() == tmp_path / "cache" / "residua" / "weights"
    monkeypatch.setenv(published.ROOT_VARIABLE, "~/weights")
    assert published.root_folder() == Path.home() / "weights"


def test_the_classes_of_imagenet_are_in_their_order():
    classes = imagenet_classes()
    assert len(classes) == len(set(classes)) == 1000
    assert all(name and name == name.strip() for name in classes)
    places = {
        0: "tench",
        134: "crane bird",
        207: "golden retriever",
        281: "tabby",
        340: "zebra",
        474: "cardigan",
        517: "crane",
        620: "laptop",
        779: "school bus",
        817: "sports car",
        954: "banana",
        963: "pizza",
        999: "toilet tissue",
    }
    assert {place: classes[place] for place in places} == places


def test_the_classes_travel_with_the_package():
    settings = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))
    root = Path(published.__file__).parents[2]
    patterns = settings["tool"]["setuptools"]["package-data"]["residua"]
    assert root / "networks" / "weights" / "imagenet1k.txt" in {file for each in patterns for file in root.glob(each)}
