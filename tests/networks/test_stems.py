"""Stems: from the image to the stream."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from residua.networks.spec import NetworkSpec, StemSpec, deep_stem, photograph_stem, small_stem
from residua.networks.stems import activates, build_stem

SPEC = NetworkSpec(stem=small_stem(4), blocks=(1,), widths=(4,))


@pytest.mark.parametrize(
    ("stem", "size"),
    [
        (small_stem(4), (33, 20)),
        (photograph_stem(4), (9, 5)),
        (StemSpec(width=4, kernel=5, stride=3), (11, 7)),
        (StemSpec(width=4, pool=True), (17, 10)),
        (deep_stem(4), (9, 5)),
        (StemSpec(width=4, stride=3, convolutions=2), (11, 7)),
    ],
)
def test_a_stem_shrinks_by_its_strides_rounded_up(stem: StemSpec, size: tuple[int, int]) -> None:
    out = build_stem(replace(SPEC, stem=stem))(torch.randn(1, 3, 33, 20))
    assert out.shape == (1, 4, *size)


BARE = {"norm": "none", "norm_on_projection": False}
FREE_STREAM = {"order": "full_preactivation", "norm_on_projection": False}
PHOTOGRAPHS = replace(SPEC, stem=photograph_stem(4))
IN_TWO_STEPS = replace(SPEC, stem=StemSpec(width=4, convolutions=2))


@pytest.mark.parametrize(
    ("spec", "layers"),
    [
        (SPEC, ["convolution", "norm", "activation"]),
        (PHOTOGRAPHS, ["convolution", "norm", "activation", "pool"]),
        (replace(SPEC, **BARE), ["convolution", "activation"]),
        (replace(SPEC, order="bn_after_addition"), ["convolution", "norm", "activation"]),
        (replace(SPEC, order="relu_before_addition"), ["convolution", "norm", "activation"]),
        (replace(SPEC, order="relu_only_preactivation"), ["convolution", "norm"]),
        (replace(PHOTOGRAPHS, order="relu_only_preactivation"), ["convolution", "norm", "activation", "pool"]),
        (replace(SPEC, **FREE_STREAM), ["convolution"]),
        (replace(PHOTOGRAPHS, **FREE_STREAM), ["convolution", "norm", "activation", "pool"]),
        (
            replace(IN_TWO_STEPS, **FREE_STREAM),
            ["convolution1", "norm1", "activation1", "convolution2"],
        ),
        (
            replace(IN_TWO_STEPS, order="relu_only_preactivation"),
            ["convolution1", "norm1", "activation1", "convolution2", "norm2"],
        ),
        (replace(SPEC, initialization="fixup", **BARE), ["convolution", "shift", "activation"]),
        (
            replace(PHOTOGRAPHS, stem=deep_stem(4)),
            [
                *("convolution1", "norm1", "activation1", "convolution2", "norm2", "activation2"),
                *("convolution3", "norm3", "activation3", "pool"),
            ],
        ),
    ],
    ids=[
        *("small", "photograph", "no norm", "b", "c", "d", "d for photographs", "e", "e for photographs"),
        *("e, in two steps", "d, in two steps", "Fixup", "deep"),
    ],
)
def test_the_first_activation_stands_right_after_the_convolution(spec: NetworkSpec, layers: list[str]) -> None:
    """He et al. 2016, appendix: in the stem before a pool, else in the first block, in either case once.

    Fig. 4d opens a branch with the ReLU alone, so that the norm of its stem stays behind the convolution.
    """
    stem = build_stem(spec)
    assert [name for name, _ in stem.named_children()] == layers
    last = [name for name in layers if name.startswith(("convolution", "activation"))][-1]
    assert activates(spec) == last.startswith("activation")


def test_a_deep_stem_has_half_the_width_but_at_its_end() -> None:
    """He et al. 2019, Fig. 2b: 32, 32 and 64 channels, the first with stride 2."""
    convolutions = [m for m in build_stem(replace(SPEC, stem=deep_stem(64))).modules() if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels) for m in convolutions] == [(3, 32), (32, 32), (32, 64)]
    assert [(m.stride[0], m.kernel_size[0]) for m in convolutions] == [(2, 3), (1, 3), (1, 3)]


def test_a_stem_has_a_bias_where_it_should() -> None:
    convolution = build_stem(replace(SPEC, stem=small_stem(4, bias=True)))[0]
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.bias is not None
    assert "convolution.bias" not in build_stem(SPEC).state_dict()
