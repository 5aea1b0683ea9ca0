"""The feature maps of an image: what is picked, beside the slow obvious picking."""

import pytest
import torch

from residua.diagnostics.feature_maps import feature_maps
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(8), blocks=(1, 2), widths=(8, 16), in_channels=1, classes=3)
PREACTIVATED = NetworkSpec(
    stem=small_stem(8),
    blocks=(1, 2),
    widths=(8, 16),
    order="full_preactivation",
    norm_on_projection=False,
    in_channels=1,
    classes=3,
)


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(1, 1, 12, 8, generator=torch.Generator().manual_seed(1))


def network(spec: NetworkSpec = SPEC) -> ResidualNetwork:
    return build(spec, seed=0)


def test_the_most_varying_channels_come_first(image):
    made = network()
    at = made.eval().features(image, at=["stem", "stage1", "stage2"])
    found = feature_maps(made, image, most=5)
    assert [place.place for place in found] == list(at)
    for place in found:
        maps = at[place.place][0].detach()
        variances = [float(((one - one.mean()) ** 2).mean()) for one in maps]
        assert place.shape == tuple(maps.shape)
        assert list(place.channels) == sorted(range(len(maps)), key=lambda channel: -variances[channel])[:5]
        assert torch.equal(place.maps, maps[list(place.channels)])


def test_dead_channels_are_counted_over_all_and_not_shown(image):
    made = network()
    with torch.no_grad():
        norm = made.stem.get_submodule("norm")
        norm.bias[[1, 4, 6]] = -100.0  # type: ignore[index]
        norm.bias[2], norm.weight[2] = 100.0, 0.0  # type: ignore[index]
    stem = feature_maps(made, image)[0]
    assert stem.dead == 3
    assert set(stem.channels) == {0, 2, 3, 5, 7}
    assert stem.channels[-1] == 2


def test_a_network_with_a_tail_shows_it(image):
    places = {place.place: place for place in feature_maps(network(PREACTIVATED), image)}
    assert list(places) == ["stem", "stage1", "stage2", "tail"]
    assert places["stage2"].signed
    assert not places["tail"].signed
    assert places["tail"].maps.min() >= 0


def test_maps_of_one_position_are_ranked_by_their_size():
    made = network(PREACTIVATED)
    image = torch.randn(1, 1, 2, 2, generator=torch.Generator().manual_seed(2))
    stage = feature_maps(made, image, most=16)[2]
    values = stage.maps.flatten().abs().tolist()
    assert len(values) == 16
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_as_it_was(image, training):
    made = network().train(training)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    feature_maps(made, image)
    assert made.training == training
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
