import torch

from residua.diagnostics.activation_map import class_activation_maps
from residua.networks.network import build
from residua.networks.spec import NetworkSpec, small_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1, 1), widths=(4, 8), in_channels=1, classes=3)


def test_the_maps_mean_and_the_bias_are_the_logit():
    """Zhou et al. 2016, Eqs. 1 and 2: exact for a pooled linear head."""
    network = build(SPEC, seed=0).train()
    images, classes = torch.randn(5, 1, 12, 8), torch.tensor([0, 1, 2, 1, 0])
    maps = class_activation_maps(network, images, classes)
    assert maps.shape == (5, 6, 4)
    assert network.training
    logits = network.eval()(images)[torch.arange(5), classes]
    assert torch.allclose(maps.mean((1, 2)) + network.head.bias[classes], logits, atol=1e-5)


def test_the_map_is_large_where_the_evidence_is():
    """A head that reads one channel, in a network whose channel is the image's brightness."""
    network = build(SPEC, seed=0).eval()
    network.feature_maps = lambda images: images.expand(-1, 8, -1, -1)  # type: ignore[method-assign]
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[1, 0] = 1
    images = torch.zeros(1, 1, 4, 4)
    images[0, 0, 2, 3] = 1
    maps = class_activation_maps(network, images, torch.tensor([1]))
    assert maps[0].argmax() == 2 * 4 + 3
