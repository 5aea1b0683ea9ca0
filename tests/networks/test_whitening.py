"""A stem that whitens: what it gives has no correlation left, and it does not learn."""

from dataclasses import replace

import pytest
import torch

from residua.errors import BadNetwork, BadSetting
from residua.networks import catalogue
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, StemSpec, small_stem, whitening_stem
from residua.networks.whitening import whiten

SPEC = NetworkSpec(stem=whitening_stem(2), blocks=(1,), widths=(8,), in_channels=2, classes=2)


def smooth_images() -> torch.Tensor:
    """Images whose neighbouring pixels and channels agree, as photographs' do."""
    rough = torch.randn(200, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(rough, 3, stride=1) + 0.3 * rough.mean(1, keepdim=True)[:, :, 1:-1, 1:-1]


def test_what_a_whitened_stem_gives_is_uncorrelated_with_variance_one():
    """E[(Wx)(Wx)ᵀ] = diag(λ / (λ + ε)), which is the identity where λ is far above ε."""
    network, images = build(SPEC, seed=0), smooth_images()
    whiten(network, images)
    maps = network.stem.get_submodule("convolution")(images).detach()
    half = maps[:, :8].transpose(0, 1).flatten(1).double()
    found = half @ half.T / half.shape[1]
    torch.testing.assert_close(found, torch.eye(8, dtype=torch.float64), atol=0.05, rtol=0)
    torch.testing.assert_close(maps[:, 8:], -maps[:, :8])


def test_filters_come_in_the_order_of_variance():
    network, images = build(SPEC, seed=0), smooth_images()
    whiten(network, images)
    norms = network.stem.get_parameter("convolution.weight")[:8].flatten(1).norm(dim=1)
    assert (norms.diff() > -1e-6).all()  # 1/√λ grows as λ falls


def test_the_filters_do_not_learn_and_the_bias_does():
    network = build(SPEC, seed=0)
    for _ in range(2):
        assert not network.stem.get_parameter("convolution.weight").requires_grad
        assert network.stem.get_parameter("convolution.bias").requires_grad
        network.freeze("stem")
        assert not network.stem.get_parameter("convolution.bias").requires_grad
        network.freeze("none")


def test_another_stem_is_not_whitened():
    with pytest.raises(BadNetwork, match="does not whiten"):
        whiten(build(replace(SPEC, stem=small_stem(4)), seed=0), smooth_images())


@pytest.mark.parametrize("in_channels", [1, 3])
def test_the_width_goes_with_the_channels(in_channels: int):
    spec = catalogue.specification("fast-resnet8", in_channels=in_channels)
    assert spec.stem.width == 2 * in_channels * 4
    assert build(spec, seed=0)(torch.randn(2, in_channels, 32, 32)).shape == (2, 10)


def test_a_width_that_is_not_of_the_channels_is_refused():
    with pytest.raises(BadNetwork, match=r"2 · in_channels · kernel²"):
        replace(SPEC, in_channels=3)


@pytest.mark.parametrize("change", [{"pool": True}, {"stride": 2}, {"bias": False}, {"convolutions": 2}])
def test_a_whitening_stem_is_one_bare_convolution(change: dict):
    with pytest.raises(BadSetting, match="whitening"):
        StemSpec(**{"width": 24, "kernel": 2, "bias": True, "whitening": True, **change})


def test_an_even_kernel_is_for_whitening_only():
    with pytest.raises(BadSetting, match="kernel"):
        StemSpec(width=8, kernel=2)
