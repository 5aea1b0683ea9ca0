"""Stems: from the image to the stream."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.spec import NetworkSpec, StemSpec, photograph_stem, small_stem
from residua.networks.stems import activates, build_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,))


@pytest.mark.parametrize(
    ("stem", "size"),
    [
        (small_stem(4), (33, 20)),
        (photograph_stem(4), (9, 5)),
        (StemSpec(width=4, kernel=5, stride=3), (11, 7)),
        (StemSpec(width=4, pool=True), (17, 10)),
    ],
)
def test_a_stem_shrinks_by_its_strides_rounded_up(stem: StemSpec, size: tuple[int, int]) -> None:
    out = build_stem(replace(SPEC, stem=stem))(torch.randn(1, 3, 33, 20))
    assert out.shape == (1, 4, *size)


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        (SPEC, ["convolution", "norm", "activation"]),
        (replace(SPEC, stem=photograph_stem(4)), ["convolution", "norm", "activation", "pool"]),
        (replace(SPEC, norm="none", norm_on_projection=False), ["convolution", "activation"]),
        (replace(SPEC, order="full_preactivation", norm_on_projection=False), ["convolution"]),
        (
            replace(SPEC, stem=photograph_stem(4), order="full_preactivation", norm_on_projection=False),
            ["convolution", "norm", "activation", "pool"],
        ),
    ],
    ids=["small", "photograph", "no norm", "pre-activation", "pre-activation for photographs"],
)
def test_the_first_activation_stands_right_after_the_convolution(spec: NetworkSpec, layers: list[str]) -> None:
    """He et al. 2016, appendix: in the stem before a pool, else in the first block, in either case once."""
    stem = build_stem(spec)
    assert [name for name, _ in stem.named_children()] == layers
    assert activates(spec) == ("activation" in layers)


def test_a_stem_has_a_bias_where_it_should() -> None:
    convolution = build_stem(replace(SPEC, stem=small_stem(4, bias=True)))[0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    assert "convolution.bias" not in build_stem(SPEC).state_dict()
