"""Every order with every shortcut, block and norm: either the network of the papers' formulas, or refused, and why.

`RULES` says from the papers which settings contradict each other, without the library's own table. What breaks no
rule is built and held against the plain writing; what breaks one is refused by the row that says so, no other.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, get_args

import pytest
import torch
from tests.networks.comparison import assert_same_network, noise, with_random_numbers
from tests.networks.plain_writing import Written

from residua.errors import BadNetwork
from residua.networks.blocks import PlainBlock
from residua.networks.network import ResidualNetwork, build
from residua.networks.shortcuts import SHORTCUTS
from residua.networks.spec import CONTRADICTIONS, Initialization, NetworkSpec, Order, small_stem, whitening_stem

ORDERS = (
    *("original", "bn_after_addition", "relu_before_addition"),
    *("relu_only_preactivation", "full_preactivation"),
)
LETTERS = {
    "none": "none",
    "padded": "A",
    "projection": "B",
    "projection_everywhere": "C",
    "average_pooled": "mean",
    "max_pooled": "max",
    "scaled": "scaled",
    "exclusive_gating": "exclusive",
    "shortcut_only_gating": "gated",
    "dropout": "dropout",
}
"""Every shortcut's name in a specification, and in the plain writing."""
PROJECT = {"projection", "projection_everywhere", "average_pooled", "max_pooled"}
APPEND_ZEROS = {"padded", "scaled", "exclusive_gating", "shortcut_only_gating", "dropout"}

Settings = dict[str, Any]
THIN: Settings = {"stem": small_stem(4), "in_channels": 2, "classes": 3, "norm_groups": 2}
BLOCKS: dict[str, Settings] = {
    "basic": {"block": "basic", "blocks": (2, 2), "widths": (4, 8)},
    "bottleneck": {"block": "bottleneck", "blocks": (2, 2), "widths": (2, 4)},
}


@dataclass(frozen=True)
class Rule:
    """What cannot be together."""

    row: str
    """How the message of the one row begins that must say so."""
    source: str
    """Why it cannot."""
    broken_by: Callable[[Settings], bool]
    """Whether the settings, all of them written out, break it."""


RULES = (
    Rule(
        "norm_on_projection is true and norm is none",
        "a norm can follow a projection only in a network that has norms",
        lambda s: s["norm"] == "none" and s["norm_on_projection"] and projects(s),
    ),
    Rule(
        "norm_on_projection is true and order is full_preactivation",
        "He et al. 2016, Eq. 5: the stream carries sums alone; a norm on it would stand at every change of shape",
        lambda s: s["order"] == "full_preactivation" and s["norm_on_projection"] and projects(s),
    ),
    Rule(
        "order is bn_after_addition and norm is none",
        "He et al. 2016, Fig. 4: b without its BN is a",
        lambda s: s["order"] == "bn_after_addition" and s["norm"] == "none",
    ),
    Rule(
        "order is relu_only_preactivation and norm is none",
        "He et al. 2016, Fig. 4: d without its BN is e without its BN",
        lambda s: s["order"] == "relu_only_preactivation" and s["norm"] == "none",
    ),
    Rule(
        "order is relu_before_addition, where",
        "He et al. 2016, Fig. 4c: ReLU'(0) = 0, so that a zero before the last ReLU of F stays zero for ever",
        lambda s: s["order"] == "relu_before_addition" and s["initialization"] in {"zero_last", "fixup"},
    ),
    Rule(
        "initialization is fixup, whose scalars",
        "Zhang et al. 2019, title: residual learning without normalization",
        lambda s: s["initialization"] == "fixup" and s["norm"] != "none",
    ),
    Rule(
        "stride_on is first and block is no bottleneck",
        "He et al. 2015, Fig. 5: the bottleneck alone has a 1×1 to put the stride on",
        lambda s: s["block"] in {"single", "basic"} and s["stride_on"] == "first",
    ),
    Rule(
        "groups is above 1 and block is no bottleneck",
        "Xie et al. 2017, §3.3: in blocks of two layers groups are only a wider dense module",
        lambda s: s["block"] in {"single", "basic"} and s["groups"] > 1,
    ),
    Rule(
        "initialization is fixup, whose scale L",
        "Zhang et al. 2019, §3: L^(−1/(2m−2)) of m ≥ 2 layers; what stands between branches is not scaled",
        lambda s: s["initialization"] == "fixup" and (s["block"] == "single" or s["transition"] == "convolution"),
    ),
    Rule(
        "transition is convolution",
        "Jordan 2024, §2: a transition ends in norm and activation, which a pre-activation would do again",
        lambda s: s["transition"] == "convolution" and s["order"] in {"relu_only_preactivation", "full_preactivation"},
    ),
    Rule(
        "the stem whitens and its width",
        "Jordan 2024, §3.1: one filter for each number of a patch, and its negative",
        lambda s: s["stem"].whitening and s["stem"].width != 2 * s["in_channels"] * s["stem"].kernel ** 2,
    ),
    Rule(
        "the stem whitens, which leaves",
        "He et al. 2016, appendix: the first block takes over the stem's norm and activation; here is no norm",
        lambda s: s["stem"].whitening and s["order"] in {"relu_only_preactivation", "full_preactivation"},
    ),
    Rule(
        "groups does not divide",
        "Xie et al. 2017, Fig. 3c: every group has as many channels",
        lambda s: [width for width in s["widths"] if width % s["groups"]] != [],
    ),
    Rule(
        "the shortcut pads",
        "He et al. 2015, §3.3, option A: zeros are for increasing dimensions",
        lambda s: s["shortcut"] in APPEND_ZEROS and s["transition"] == "block" and narrows(s),
    ),
    Rule(
        "shortcut is scaled by the number",
        "Ioffe and Szegedy 2015, §3.3: BN(λu) = BN(u), here with u = x + F",
        lambda s: (
            (s["order"], s["shortcut"]) == ("bn_after_addition", "scaled")
            and s["shortcut_scale"] / s["residual_scale"] == 1
        ),
    ),
    Rule(
        "shortcut is none and initialization",
        "Goyal et al. 2017, §5.1; De and Smith 2020, §2: a start near the identity, which a plain block has not",
        lambda s: s["shortcut"] == "none" and s["initialization"] in {"zero_last", "scaled_branches"},
    ),
    Rule(
        "shortcut is none and last_survival",
        "Huang et al. 2016, Eq. 2: without its identity term a dropped block leaves nothing",
        lambda s: s["shortcut"] == "none" and s["last_survival"] != 1,
    ),
)


def projects(s: Settings) -> bool:
    """Where transitions change all shapes, only option C still projects."""
    return s["shortcut"] in (PROJECT if s["transition"] == "block" else {"projection_everywhere"})


def narrows(s: Settings) -> bool:
    expansion = 4 if s["block"] == "bottleneck" else 1
    channels = [s["stem"].width, *(expansion * width for width in s["widths"])]
    return any(channels[i + 1] < channels[i] for i in range(len(channels) - 1))


def written_out(**changes: Any) -> Settings:
    """All settings of a thin network, those that are not given as they are by default."""
    block = BLOCKS[changes.get("block", "basic")]
    return vars(NetworkSpec(**THIN, **block)) | changes


def unchecked(s: Settings) -> NetworkSpec:
    """A specification of these settings that nobody has checked."""
    spec = copy.copy(SOME_SPEC)
    vars(spec).update(s)
    return spec


SOME_SPEC = NetworkSpec(**THIN, **BLOCKS["basic"])


def combination(order: str, shortcut: str, block: str, norm: str, on_projection: bool) -> Settings:
    """One cell of the table; Fig. 4b's ``scaled`` gets two different numbers, for one alone is refused."""
    scales = {"shortcut_scale": 0.25, "residual_scale": 0.75} if order == "bn_after_addition" else {}
    names = {"order": order, "shortcut": shortcut, "block": block, "norm": norm}
    return {**THIN, **BLOCKS[block], **names, "norm_on_projection": on_projection, **scales}


def label(s: Settings) -> str:
    left = {"stem", "in_channels", "classes", "norm_groups", "blocks", "widths", "shortcut_scale", "residual_scale"}
    words = {"norm_on_projection": "normed" if s.get("norm_on_projection") else "bare"}
    return ", ".join(words.get(key, str(value)) for key, value in s.items() if key not in left)


TABLE = tuple(
    combination(*cell)
    for cell in product(ORDERS, LETTERS, ("basic", "bottleneck"), ("batch", "group", "none"), (True, False))
)
REFUSED = tuple(s for s in TABLE if any(rule.broken_by(written_out(**s)) for rule in RULES))
ACCEPTED = tuple(s for s in TABLE if s not in REFUSED)
COMPARED = tuple(s for s in ACCEPTED if s["shortcut"] in PROJECT or not s["norm_on_projection"])
"""Where nothing projects, a norm on projections says nothing, and one of two equal networks is enough."""


def test_the_table_has_all_orders_and_shortcuts() -> None:
    assert get_args(Order) == ORDERS
    assert ("none", *SHORTCUTS) == tuple(LETTERS)
    assert len(TABLE) == 5 * 10 * 2 * 3 * 2


@pytest.mark.parametrize("s", COMPARED, ids=label)
def test_what_breaks_no_rule_is_the_network_that_the_papers_write(s: Settings) -> None:
    assert_as_written(s)


@pytest.mark.parametrize("s", REFUSED, ids=label)
def test_what_breaks_a_rule_is_refused_and_the_first_broken_row_says_why(s: Settings) -> None:
    broken = {row_of(rule) for rule in RULES if rule.broken_by(written_out(**s))}
    with pytest.raises(BadNetwork) as refusal:
        NetworkSpec(**s)
    assert str(refusal.value) == CONTRADICTIONS[min(broken)][1]


def test_where_nothing_projects_a_norm_on_projections_changes_nothing() -> None:
    others = [s for s in ACCEPTED if s not in COMPARED and s["block"] == "basic"]
    assert {s["shortcut"] for s in others} == {"none", *APPEND_ZEROS}
    for s in others:
        with torch.device("meta"):
            networks = [ResidualNetwork(NetworkSpec(**{**s, "norm_on_projection": norm})) for norm in (True, False)]
        assert str(networks[0]) == str(networks[1])


def row_of(rule: Rule) -> int:
    (row,) = [index for index, (_, message) in enumerate(CONTRADICTIONS) if message.startswith(rule.row)]
    return row


def test_every_rule_is_one_row_and_every_row_one_rule() -> None:
    assert sorted(map(row_of, RULES)) == list(range(len(CONTRADICTIONS)))


EXTRAS: tuple[Settings, ...] = (
    {},
    {"last_survival": 0.5},
    {"groups": 2},
    {"groups": 3},
    {"groups": 4, "widths": (4, 6)},
    {"stride_on": "first"},
    {"widths": (8, 4)},
    {"stem": small_stem(32)},
    {"shortcut_scale": 0.25},
    {"transition": "convolution"},
    {"transition": "convolution", "widths": (8, 4)},
    {"stem": whitening_stem(2)},
    {"stem": whitening_stem(3)},
    {"block": "single", "stride_on": "first"},
    {"block": "single", "groups": 2},
    {"groups": 3, "stride_on": "first", "widths": (8, 4), "last_survival": 0.5},
)


@pytest.mark.parametrize("order", ORDERS)
def test_rules_and_rows_agree_on_all_settings_together(order: str) -> None:
    """Each row alone, on settings that other rows refuse as well: all initialisations, groups, strides and widths."""
    rows = {rule: CONTRADICTIONS[row_of(rule)][0] for rule in RULES}
    defaults = {block: written_out(block=block, order=order) for block in BLOCKS}
    cells = product(LETTERS, BLOCKS, ("batch", "group", "none"), (True, False), get_args(Initialization), EXTRAS)
    for shortcut, block, norm, on_projection, start, extra in cells:
        names = {"shortcut": shortcut, "norm": norm, "norm_on_projection": on_projection, "initialization": start}
        s = defaults[block] | names | extra
        spec = unchecked(s)
        for rule, contradicts in rows.items():
            assert bool(contradicts(spec)) == rule.broken_by(s), (rule.row, s)


def test_without_shortcuts_the_five_orders_are_one_network() -> None:
    """Norm and activation are before the next convolution or behind the last: without an addition, the same chain.

    The orders are let through nevertheless, since a twin takes over its network's weights by their names.
    """
    twins = [build(NetworkSpec(**combination(order, "none", "basic", "batch", False)), seed=0) for order in ORDERS]
    first, images = twins[0].double(), noise(2, 2, 7, 6, seed=2)
    for value in first.parameters():
        torch.nn.init.normal_(value, 0.0, 0.4, generator=torch.Generator().manual_seed(value.numel()))
    for twin in twins[1:]:
        twin.double().load_state_dict(dict(zip(twin.state_dict(), first.state_dict().values(), strict=True)))
        assert isinstance(next(twin.stages[0].children()), PlainBlock)
        torch.testing.assert_close(twin(images), first(images))


def test_one_factor_on_both_paths_is_no_other_network_where_a_norm_follows() -> None:
    """BN(λx + λF) = BN(x + F) but for ε, which counts 1/λ² as much: what the refused row says."""
    network = with_random_numbers(NetworkSpec(**combination("bn_after_addition", "padded", "basic", "batch", False)))
    numbers, images = network.state_dict(), noise(4, 2, 9, 9, seed=2)
    scaled = Written(order="bn_after_addition", shortcut="scaled")
    same, other = (replace(scaled, scales=scales).network(images, numbers, (2, 2)) for scales in ((7, 7), (3, 7)))
    torch.testing.assert_close(same, network(images), rtol=0, atol=1e-3)
    assert (other - network(images)).abs().max() > 0.05


def assert_as_written(s: Settings, **more: Any) -> None:
    """Builds the network and compares it in both modes; ``more`` is what the writing is told beside the settings."""
    spec = NetworkSpec(**s)
    written = Written(
        order=s["order"],
        bottleneck=s["block"] == "bottleneck",
        norm=s["norm"],
        norm_groups=2,
        shortcut=LETTERS[s["shortcut"]],
        norm_on_projection=s["norm_on_projection"] and s["norm"] != "none",
        scales=(s.get("shortcut_scale", 0.5), s.get("residual_scale", 0.5)),
        **more,
    )
    network = with_random_numbers(spec)
    images = noise(2, 2, 7, 6, seed=2)
    for training in (True, False):
        assert_same_network(network.train(training), written, images)


def cells(*, orders: tuple[str, ...] = ORDERS, shortcuts: Any = LETTERS, block: str, norm: str) -> list[Settings]:
    """One cell for each order and shortcut, projections with a norm where they may have one."""
    return [
        combination(order, shortcut, block, norm, norm != "none" and order != "full_preactivation")
        for order, shortcut in product(orders, shortcuts)
    ]


SOME = ("none", "projection", "scaled", "exclusive_gating")
SLICES: dict[str, tuple[list[Settings], Settings, Settings]] = {
    "squeeze-excitation": (
        cells(shortcuts=SOME, block="basic", norm="batch"),
        {"squeeze_excitation": 2},
        {"excited": True},
    ),
    "SkipInit": (
        cells(shortcuts=SOME, block="basic", norm="batch"),
        {"initialization": "skipinit"},
        {"skipinit": True},
    ),
    "fixup": (
        cells(orders=("original", "full_preactivation"), block="basic", norm="none"),
        {"initialization": "fixup"},
        {"fixup": True},
    ),
    "fixup of a bottleneck": (
        cells(orders=("original", "full_preactivation"), shortcuts=("projection",), block="bottleneck", norm="none"),
        {"initialization": "fixup"},
        {"fixup": True},
    ),
    "branches scaled by the depth": (
        cells(shortcuts=SOME[1:], block="bottleneck", norm="batch"),
        {"initialization": "scaled_branches"},
        {"branch_scale": 0.5},
    ),
    "groups, stride on the 1×1": (
        cells(shortcuts=SOME, block="bottleneck", norm="batch"),
        {"groups": 2, "stride_on": "first"},
        {"groups": 2, "stride_on_first": True},
    ),
    "stochastic depth": (
        cells(shortcuts=[name for name in LETTERS if name != "none"], block="basic", norm="batch"),
        {"last_survival": 0.4},
        {"last_survival": 0.4},
    ),
    "biases": (
        cells(shortcuts=("projection", "exclusive_gating"), block="basic", norm="group"),
        {"bias": True, "stem": small_stem(4, bias=True)},
        {"bias": True, "stem_bias": True},
    ),
    "all together": (
        cells(shortcuts=("scaled", "dropout", "projection_everywhere"), block="bottleneck", norm="group"),
        {"groups": 2, "squeeze_excitation": 3, "initialization": "skipinit", "last_survival": 0.4, "bias": True},
        {"groups": 2, "excited": True, "skipinit": True, "last_survival": 0.4, "bias": True},
    ),
}


@pytest.mark.parametrize(
    ("s", "more"),
    [
        pytest.param(cell | settings, more, id=f"{name}: {label(cell)}")
        for name, (slice_, settings, more) in SLICES.items()
        for cell in slice_
    ],
)
def test_what_can_be_added_to_a_network_is_what_the_papers_write(s: Settings, more: Settings) -> None:
    """Four blocks, so that 1/√L = 1/2."""
    assert_as_written(s, **more)
