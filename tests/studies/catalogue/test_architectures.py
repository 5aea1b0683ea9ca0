"""The studies of blocks, shortcuts, orders and depth: their networks are what they say, and cost it."""

import re
from pathlib import Path

import pytest

from residua import configuration
from residua.networks import cost
from residua.networks.catalogue import specification
from residua.networks.spec import NetworkSpec
from residua.studies import catalogue
from residua.studies.catalogue import bottleneck, degradation, depth, orders, shortcut_kinds
from residua.studies.design import Arm, Scale, Study
from residua.studies.measures.reproduced import PUBLISHED
from residua.studies.schedule import Schedule
from residua.studies.store import Store

NAMES = ("bottleneck", "shortcuts", "shortcut_kinds", "orders", "depth")
QUANTITIES = {"train_loss", "train_error", "test_error", "step_ratio", "over_published"}


def arms(study: Study, scale: Scale) -> dict[str, Arm]:
    return {arm.name: arm for arm in study.budgets[scale].arms}


def network(study: Study, name: str) -> NetworkSpec:
    """Returns what an arm of scale paper trains, by its settings."""
    arm = arms(study, "paper")[name]
    settings = [one.removeprefix("network.") for one in arm.settings if one.startswith("network.")]
    spec = arm.network if isinstance(arm.network, NetworkSpec) else specification(str(arm.network))
    return configuration.with_settings(spec, settings, "network.")


def multiply_adds(arm: Arm, side: int) -> int:
    assert isinstance(arm.network, NetworkSpec)
    return cost.multiply_adds(arm.network, (3, side, side))


def address(study: Study, arm: str, root: Path) -> str:
    made = Schedule(study, "quick", store=Store(root))
    found = made.assignment(arms(study, "quick")[arm], 0, 0.03)
    assert found is not None
    return found.address


@pytest.mark.parametrize("name", NAMES)
def test_claims_name_quantities_that_the_measures_give(name: str):
    study = catalogue.study(name)
    assert len({one.name for one in study.claims}) == len(study.claims)
    assert {term.quantity for one in study.claims for term in one.effect} <= QUANTITIES
    assert all(sum(term.weight for term in one.effect) == 0 for one in study.claims if len(one.effect) == 2)


@pytest.mark.parametrize("name", NAMES)
def test_no_claim_of_test_error_is_decided_on_360_images(name: str):
    """One image of 360 is half of the smallest effect that matters, and a seed moves several."""
    study = catalogue.study(name)
    quick = {one for one in study.claims if one.name in study.budgets["quick"].decides}
    assert quick
    assert "test_error" not in {term.quantity for one in quick for term in one.effect}


@pytest.mark.parametrize(("scale", "side"), [("quick", 8), ("laptop", 16), ("paper", 32)])
def test_equal_multiply_adds_are_equal_within_two_per_cent(scale: Scale, side: int):
    found = arms(bottleneck.STUDY, scale)
    for basic, deep in ((18, 26), (34, 50)):
        if f"basic-{basic}" in found:
            ratio = multiply_adds(found[f"bottleneck-{deep}-narrow"], side) / multiply_adds(
                found[f"basic-{basic}"], side
            )
            assert ratio == pytest.approx(1, abs=0.02)
            assert multiply_adds(found[f"bottleneck-{deep}"], side) > 1.1 * multiply_adds(found[f"basic-{basic}"], side)


def test_each_comparison_holds_equal_what_it_says():
    found = arms(bottleneck.STUDY, "paper")
    spec = {name: arm.network for name, arm in found.items() if isinstance(arm.network, NetworkSpec)}
    assert len(spec) == len(found) == 12
    for basic, deep in ((18, 26), (34, 50)):
        assert spec[f"basic-{basic}"].depth == basic
        assert spec[f"bottleneck-{deep}"].depth == spec[f"bottleneck-{deep}-narrow"].depth == deep
        same = (spec[f"basic-{basic}"], spec[f"bottleneck-{deep}"])
        assert same[0].blocks == same[1].blocks
        assert same[0].widths == same[1].widths
    for layers in (20, 38, 56):
        assert spec[f"basic-{layers}-equal"].depth == spec[f"bottleneck-{layers}-equal"].depth == layers
    assert {one.shortcut for one in spec.values()} == {"projection"}
    assert all((one.block == "bottleneck") == name.startswith("bottleneck") for name, one in spec.items())


def test_the_arms_at_scale_paper_are_the_networks_of_the_papers():
    """Table 2's last row is the catalogue's pre-activation network, and 18 layers are those of the notes."""
    assert network(bottleneck.STUDY, "basic-18") == specification("resnet18-small-stem")
    assert network(orders.STUDY, "original-164") == specification("resnet164")
    assert network(orders.STUDY, "full_preactivation-164") == specification("resnet164-preactivation")
    assert network(shortcut_kinds.STUDY, "identity-110") == specification("resnet110")
    assert network(shortcut_kinds.STUDY, "plain-110") == specification("plain110")
    assert network(shortcut_kinds.STUDY, "gated-half-110").gate_bias == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_network_can_be_made(name: str, tmp_path: Path):
    """At the quick scale as a plan, whose images are at hand; at scale paper as a specification."""
    study = catalogue.study(name)
    made = Schedule(study, "quick", store=Store(tmp_path))
    assert all(made.cost(arm) > 0 for arm in made.budget.arms)
    specs = [network(study, arm) for arm in arms(study, "paper")]
    assert len(set(specs)) == len(specs)


@pytest.mark.parametrize(
    ("one", "other", "its", "others"),
    [
        (depth.STUDY, degradation.STUDY, "residual-56", "residual-56"),
        (orders.STUDY, degradation.STUDY, "original-56", "residual-56"),
        (shortcut_kinds.STUDY, degradation.STUDY, "identity-56", "residual-56"),
        (catalogue.study("shortcuts"), degradation.STUDY, "A-20", "residual-20"),
        (bottleneck.STUDY, catalogue.study("shortcuts"), "basic-20-equal", "B-20"),
    ],
    ids=["depth", "orders", "shortcut-kinds", "shortcuts", "bottleneck"],
)
def test_a_network_of_two_studies_is_trained_once(one: Study, other: Study, its: str, others: str, tmp_path: Path):
    assert address(one, its, tmp_path) == address(other, others, tmp_path)


def test_published_numbers_stand_in_the_claims_as_in_the_figures():
    for study, scale in ((orders.STUDY, 100), (shortcut_kinds.STUDY, 100)):
        shown = study.figures[0].published
        assert set(shown) <= set(arms(study, "paper"))
        for claim in study.claims:
            for term in claim.effect:
                if term.arm in shown:
                    assert claim.published is not None
                    assert f"{scale * shown[term.arm]:.2f} %" in claim.published.en


def test_depth_claims_say_the_differences_of_the_table():
    for claim in depth.STUDY.claims:
        step = re.fullmatch(r"better_(\d+)_(\d+)", claim.name)
        if step:
            before, after = (PUBLISHED[int(layers)] for layers in step.groups())
            assert claim.published is not None
            assert f"{before - after:.4f}" in claim.published.en
            assert before > after
