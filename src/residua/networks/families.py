"""Families of networks: from a size to a specification, with the paper, the table and what was measured."""

from dataclasses import replace

from residua.networks.spec import BlockKind, NetworkSpec, deep_stem, photograph_stem, small_stem, whitening_stem

PHOTOGRAPH_WIDTHS = (64, 128, 256, 512)
SMALL_WIDTHS = (16, 32, 64)


def basic_for_photographs(blocks: tuple[int, ...]) -> NetworkSpec:
    """Returns a residual network of basic blocks for photographs (He et al. 2015, Table 1, option B).

    1000 classes, 224×224. ImageNet top-1 error, 10-crop (Tables 2 and 3): 18 layers 27.88 %, plain 27.94 %;
    34 layers 24.52 % (A 25.03, C 24.19), plain 28.54 %.
    """
    return NetworkSpec(stem=photograph_stem(), blocks=blocks, widths=PHOTOGRAPH_WIDTHS)


def bottleneck_for_photographs(blocks: tuple[int, ...]) -> NetworkSpec:
    """Returns a residual network of bottlenecks for photographs (He et al. 2015, Table 1, option B).

    The stride is on the 3×3 convolution, as in torchvision and most published weights; the paper puts it
    on the first 1×1, which ``stride_on="first"`` gives, with the same parameters and 6 % fewer
    multiply-adds at 50 layers (3,857,973,248 for 4,089,184,256). 1000 classes, 224×224. ImageNet top-1
    error, 10-crop (Table 3): 50 layers 22.85 %, 101 layers 21.75 %, 152 layers 21.43 %.
    The 200 layers are those of He et al. 2016, Table 5, here in the original order.
    """
    return replace(basic_for_photographs(blocks), block="bottleneck")


def wide_for_photographs(blocks: tuple[int, ...]) -> NetworkSpec:
    """Returns a bottleneck network whose 3×3 convolutions are twice as wide (Zagoruyko and Komodakis 2016, §3.3).

    What leaves a block is as wide as without. ImageNet top-1 error of a 50-layer one, single crop (Table 8):
    21.9 %, beside 24.01 % and 22.44 % of the usual 50 and 101 layers.
    """
    return replace(
        bottleneck_for_photographs(blocks),
        widths=tuple(2 * width for width in PHOTOGRAPH_WIDTHS),
        bottleneck_expansion=2,
    )


def aggregated_for_photographs(blocks: tuple[int, ...], groups: int, group_width: int) -> NetworkSpec:
    """Returns ResNeXt, blocks × groups × width of a group in the first stage (Xie et al. 2017, Table 1).

    A bottleneck's 3×3 convolution is grouped; what leaves a block is as wide as in ResNet. ImageNet top-1 error,
    single crop: 50 layers 32×4d 22.2 % (Table 3), 101 layers 64×4d 20.4 % (Table 5).
    """
    width = groups * group_width
    return replace(
        bottleneck_for_photographs(blocks),
        widths=tuple(width * 2**stage for stage in range(len(blocks))),
        bottleneck_expansion=4 * PHOTOGRAPH_WIDTHS[0] // width,
        groups=groups,
    )


def deep_stem_for_photographs(blocks: tuple[int, ...], pooled: bool) -> NetworkSpec:
    """Returns ResNet-C: a stem of three 3×3 in place of the 7×7; ``pooled`` adds option D's average pool: ResNet-D.

    He et al. 2019, Bag of Tricks, Fig. 2; the stride on the 3×3 is their B. ImageNet top-1 accuracy of 50
    layers (Table 5): ResNet-50 76.21 %, B 76.66 %, C 76.87 %, D 77.16 %.
    """
    shortcut = "average_pooled" if pooled else "projection"
    return replace(bottleneck_for_photographs(blocks), stem=deep_stem(), shortcut=shortcut)


def excited_for_photographs(blocks: tuple[int, ...], block: BlockKind) -> NetworkSpec:
    """Returns SE-ResNet: squeeze-excitation at the end of every residual function (Hu et al. 2018, Fig. 3).

    Reduction 16, both linear layers with a bias. ImageNet top-1 error of 50 layers, single crop (Table 2):
    23.29 %, beside 24.80 % without.
    """
    return replace(basic_for_photographs(blocks), block=block, squeeze_excitation=16)


def basic_for_small_images(depth: int) -> NetworkSpec:
    """Returns the 6n+2-layer network for images of 32×32 (He et al. 2015, §4.2, option A).

    CIFAR-10 test error (Table 6), batch 128, 64k steps: 20 layers 8.75 %, 32 7.51 %, 44 7.17 %, 56 6.97 %,
    110 6.43 % (6.61 ± 0.16 over five), 1202 7.93 %. 110 layers warm up at learning rate 0.01.
    """
    return NetworkSpec(
        stem=small_stem(SMALL_WIDTHS[0]),
        blocks=((depth - 2) // 6,) * 3,
        widths=SMALL_WIDTHS,
        shortcut="padded",
        classes=10,
    )


def pooled_for_small_images(depth: int) -> NetworkSpec:
    """Returns the 6n+2 network of `basic_for_small_images` with option D: average pool, 1×1, batch norm.

    What `residua train` takes for small images. On Fashion-MNIST, 13 epochs of 55,000 images with the default
    recipe, one seed each, 14 layers: 93.8 % with these shortcuts, 93.4 % with option A;
    the intervals from 10,000 test images overlap (93.3 to 94.2, 92.9 to 93.8).
    """
    return replace(basic_for_small_images(depth), shortcut="average_pooled")


def bottleneck_for_small_images(depth: int) -> NetworkSpec:
    """Returns the 9n+2-layer bottleneck network for images of 32×32 (He et al. 2016, Table 2).

    Original order, option B, the stride on the first 1×1; 10 classes. CIFAR-10 test error: 164 layers
    5.93 % (Table 2), 1001 layers 7.61 % (Table 3).
    """
    return NetworkSpec(
        stem=small_stem(SMALL_WIDTHS[0]),
        blocks=((depth - 2) // 9,) * 3,
        widths=SMALL_WIDTHS,
        block="bottleneck",
        stride_on="first",
        classes=10,
    )


def preactivated_for_small_images(depth: int) -> NetworkSpec:
    """Returns the 9n+2-layer network in full pre-activation order (He et al. 2016, Fig. 4e and appendix).

    The same convolutions as `bottleneck_for_small_images`; the projections carry no norm. CIFAR-10 test
    error: 164 layers 5.46 % (Table 2), 1001 layers 4.92 % (Table 3).
    """
    return replace(bottleneck_for_small_images(depth), order="full_preactivation", norm_on_projection=False)


def wide_preactivated(depth: int, factor: int) -> NetworkSpec:
    """Returns WRN-depth-factor: 6n+4 layers, the widths of the 6n+2 family times a factor.

    Zagoruyko and Komodakis 2016, Table 1: basic blocks in full pre-activation order, three stages of n
    blocks, a stem of 16 channels. Their depth counts the three 1×1 projections and not the head. CIFAR-10
    test error without dropout (Table 5): WRN-40-4 4.53 %, WRN-16-8 4.27 %, WRN-28-10 4.00 %.
    """
    return NetworkSpec(
        stem=small_stem(SMALL_WIDTHS[0]),
        blocks=((depth - 4) // 6,) * 3,
        widths=tuple(factor * width for width in SMALL_WIDTHS),
        order="full_preactivation",
        norm_on_projection=False,
        classes=10,
    )


def fast_for_small_images(widths: tuple[int, ...]) -> NetworkSpec:
    """Returns the network that the recipe ``fast`` is made for: 32×32 images, learned in few epochs.

    Jordan 2024 (arXiv:2404.00498, §3) with an identity shortcut around the second convolution of each of its three
    stages: a stem that whitens patches of 2×2, a convolution and a pool where a stage begins, GELU. His convolutions
    start as the identity (``initialization="identity"``), which brings nothing beside shortcuts (docs/fast.md). His,
    without shortcuts, widths 64, 256, 256: CIFAR-10 94.0 % with six views in 9.9 epochs.
    """
    return NetworkSpec(
        stem=whitening_stem(),
        blocks=(1,) * len(widths),
        widths=widths,
        block="single",
        transition="convolution",
        order="relu_before_addition",
        shortcut="projection",
        activation="gelu",
        classes=10,
    )


def wide_for_small_images() -> NetworkSpec:
    """Returns the 18-layer network whose stem keeps 32×32 images whole: 3×3, stride 1, no pool.

    Widths 64 to 512, four stages, option B with batch norm: photographs' ResNet-18 with another stem, not
    a 6n+2 network; 10 classes. Its source text says that a sigmoid saturates near an input of 1;
    σ(1) = 0.73 and σ′(1) = 0.197, so that it does so only further out. The code needed no mending.
    """
    return NetworkSpec(stem=small_stem(64), blocks=(2, 2, 2, 2), widths=PHOTOGRAPH_WIDTHS, classes=10)


def textbook() -> NetworkSpec:
    """Returns the 18-layer network of the textbook Dive into Deep Learning, §8.6, for grey images.

    All convolutions have a bias, which a batch norm behind it takes away again, and the projections have no
    norm: kept so, for the textbook's numbers come from it. 10 classes (Fashion-MNIST at 96×96).
    """
    return NetworkSpec(
        stem=photograph_stem(bias=True),
        blocks=(2, 2, 2, 2),
        widths=PHOTOGRAPH_WIDTHS,
        bias=True,
        norm_on_projection=False,
        in_channels=1,
        classes=10,
    )


def without_norm() -> NetworkSpec:
    """Returns a 34-layer network of basic blocks without any norm, 200 classes, images of 64×64.

    Mended: the listing that it comes from called the wrong parent initialiser, had no activation after its
    stem (here a ReLU), and gave a softmax to a cross-entropy that applies its own (here logits).

    Without a norm it is ``zero_last`` that makes it learn. Measured on scikit-learn's digits, standardised
    and enlarged to 64×64, 150 steps of 32 images, SGD with momentum 0.9 at learning rate 0.01, mean loss of
    the last 20 steps, seeds 0 to 2: zero_last 0.18, 0.17, 0.15; he_fan_out 2.29, 1.78, 2.30 (chance: 2.30).
    At 0.1 he_fan_out is not a number at the third step and zero_last stays at 2.31; at 0.001 both stay above 1.5.
    """
    return replace(textbook(), blocks=(3, 4, 6, 3), norm="none", initialization="zero_last", in_channels=3, classes=200)


def pooled() -> NetworkSpec:
    """Returns a 34-layer network whose shortcuts average-pool, then project (option D), without any norm.

    Mended: in the listing that it comes from the block never initialised its parent, and its pool halved
    the shortcut while its convolutions kept stride 1, so that a strided block could not add; the stride
    belongs to the first 3×3 convolution too. The listing has no stem; this one is that of `without_norm`.

    Measured as there at learning rate 0.01: zero_last 0.76 (seed 0), he_fan_out 2.30, 2.29 (seeds 0 and 1).
    """
    return replace(without_norm(), shortcut="average_pooled", classes=1000)
