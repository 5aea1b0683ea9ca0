"""What is asked for is what is run; trials that are the same have one address, and others another."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from residua.errors import BadSetting
from residua.networks import catalogue, factory
from residua.networks.spec import NetworkSpec, small_stem
from residua.studies.choice_of_rate import GRID_SEED
from residua.studies.design import Arm, Budget
from residua.studies.schedule import Assignment, Schedule
from residua.studies.store import Store
from tests.studies.tiny import NETWORK, PLAIN, SETTINGS, budget, claim, study


def schedule(tmp_path: Path, quick: Budget, *, seeds: int | None = None) -> Schedule:
    return Schedule(study(quick, claims=()), "quick", store=Store(tmp_path), seeds=seeds)


def address(tmp_path: Path, seed: int = 0, *, arm: Arm | None = None, **values: object) -> str:
    one = arm or Arm(name="residual", network=NETWORK)
    found = schedule(tmp_path, budget(arms=(one,), decides=(), **values)).trial(one, seed)
    assert found is not None
    return found.address


def test_names_of_arm_and_network_and_the_checkpoints_are_no_part_of_an_address(tmp_path: Path):
    by_name = Arm(name="b", network="resnet8", settings=("network.stem.width=4", "network.widths=4,4,4"))
    same = replace(catalogue.specification("resnet8"), stem=small_stem(4), widths=(4, 4, 4))
    by_data = Arm(name="a", network=same, group="x", x=8.0)
    first = address(tmp_path, arm=by_data)
    second = address(tmp_path, arm=by_name, settings=(*SETTINGS, "checkpoint_seconds=7"))
    assert first == second


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 2},
        {"settings": (*SETTINGS, "data.split_seed=1")},
        {"settings": (*SETTINGS, "data.image_size=10")},
        {"settings": (*SETTINGS, "optimizer.weight_decay=0")},
        {"arm": Arm(name="residual", network=PLAIN)},
        {"arm": Arm(name="residual", network=NETWORK, settings=("optimizer.learning_rate=0.1",))},
        {"arm": Arm(name="residual", network=NETWORK, epochs=3)},
        {"recipe": "textbook", "settings": SETTINGS},
        {"seed": 1},
    ],
)
def test_whatever_changes_a_number_changes_the_address(tmp_path: Path, values: dict[str, object]):
    assert address(tmp_path, **values) != address(tmp_path)  # type: ignore[arg-type]


def test_an_address_is_the_same_in_every_process(tmp_path: Path):
    """Pinned: an address that moves would have every kept trial run again. Raise `TRAINING_VERSION` to move it."""
    assert address(tmp_path) == address(tmp_path)
    assert len(address(tmp_path)) == 16


def test_a_setting_of_the_arm_takes_the_place_of_the_budgets_and_the_rate_of_both(tmp_path: Path):
    arm = Arm(name="a", network=NETWORK, settings=("batch_size=64",))
    made = schedule(tmp_path, budget(arms=(arm,), decides=(), learning_rates=(0.3,)))
    one = made.trial(arm, 0)
    assert one is not None
    assert one.decided is not None
    assert one.decided.recipe.batch_size == 64
    assert one.decided.recipe.optimizer.learning_rate == 0.3
    assert one.learning_rate == 0.3


def needed(made: Schedule, arm: Arm, seed: int) -> list[tuple[str, int, float | None]]:
    return [(one.arm.name, one.seed, one.learning_rate) for one in made.needed(arm, seed)]


def test_a_grid_comes_first_at_a_seed_of_its_own_and_the_trial_once_it_has_ended(tmp_path: Path):
    arm = Arm(name="a", network=NETWORK)
    made = schedule(tmp_path, budget(arms=(arm,), decides=(), learning_rates=(0.1, 0.2)))
    assert needed(made, arm, 0) == [("a", GRID_SEED, 0.1), ("a", GRID_SEED, 0.2)]
    assert made.trial(arm, 0) is None
    grid = made.grid(arm)
    assert grid is not None
    for one in grid:
        Store(tmp_path).fail(one.address, BadSetting("no"))
    assert needed(made, arm, 0)[2:] == [("a", 0, 0.1)]


def test_what_an_arm_begins_with_is_at_its_own_seed_and_in_its_address(tmp_path: Path):
    first = Arm(name="first", network=NETWORK)
    deep = Arm(name="deep", network=replace(NETWORK, blocks=(2,)), begins="first", deepen=((1, 1),))
    made = schedule(tmp_path, budget(arms=(first, deep), decides=()))
    found = list(made.needed(deep, 1))
    assert [(one.arm.name, one.seed) for one in found] == [("first", 1), ("deep", 1)]
    assert found[1].begins == found[0]
    assert found[1].identity["begins"] == found[0].address
    alone = address(tmp_path, 1, arm=Arm(name="deep", network=deep.network))
    assert found[1].address != alone


@dataclass(frozen=True)
class Mlp:
    """A network that a study makes itself."""

    width: int

    def __call__(self, seed: int) -> nn.Module:
        return nn.Linear(self.width, self.width)


def linear(seed: int) -> nn.Module:
    return nn.Linear(3, 3)


@pytest.mark.parametrize(("first", "second"), [(Mlp(3), Mlp(4)), (linear, Mlp(3))])
def test_a_network_that_a_function_makes_is_told_by_its_name_and_fields(
    tmp_path: Path, first: Callable[[int], nn.Module], second: Callable[[int], nn.Module]
):
    def at(network: Callable[[int], nn.Module], seed: int = 0) -> str:
        return address(tmp_path, seed, arm=Arm(name="a", network=network), epochs=None)

    assert at(first) == at(first)
    assert len({at(first), at(second), at(first, 1)}) == 3


def widened(width: int) -> Callable[[int], nn.Module]:
    def build(seed: int) -> nn.Module:
        return nn.Linear(width, width)

    return build


@pytest.mark.parametrize("network", [widened(3), lambda seed: nn.Linear(3, 3)])
def test_functions_that_have_one_name_are_refused_for_their_trials_would_be_one(tmp_path: Path, network: Any):
    with pytest.raises(BadSetting, match="frozen dataclass"):
        address(tmp_path, arm=Arm(name="a", network=network), epochs=None)


def test_a_function_of_a_users_file_counts_with_its_text(tmp_path: Path):
    path, found = tmp_path / "own.py", []
    for width in (3, 4):
        path.write_text(f"from torch import nn\ndef build(seed):\n    return nn.Linear({width}, {width})\n")
        made = factory.from_file_named(path, "build")
        found.append(address(tmp_path, arm=Arm(name="a", network=made), epochs=None))
    assert found[0] != found[1]


def test_a_grid_without_images_to_decide_on_is_refused(tmp_path: Path):
    arm = Arm(name="a", network=NETWORK)
    settings = (*SETTINGS, "data.validation_fraction=0")
    made = schedule(tmp_path, budget(arms=(arm,), decides=(), learning_rates=(0.1, 0.2), settings=settings))
    with pytest.raises(BadSetting, match="no such part"):
        made.grid(arm)


def test_claims_and_networks_that_make_no_sense_are_refused(tmp_path: Path):
    for claims, says in (((replace(claim(), effect=()),), "one Term"), ((claim(), claim()), "two claims")):
        with pytest.raises(BadSetting, match=says):
            Schedule(study(claims=claims), "quick", store=Store(tmp_path))
    assert_refused(tmp_path, budget(arms=(Arm(name="plain", network=linear), budget().arms[1])), "not trained")


def assert_refused(tmp_path: Path, quick: Budget, says: str) -> None:
    with pytest.raises(BadSetting, match=says):
        Schedule(study(quick), "quick", store=Store(tmp_path))


def test_arms_that_do_not_fit_together_are_refused_before_anything_runs(tmp_path: Path):
    plain, residual = budget().arms
    assert_refused(tmp_path, budget(arms=(plain, replace(residual, begins="plian"))), "did you mean 'plain'")
    assert_refused(
        tmp_path, budget(arms=(replace(plain, begins="residual"), replace(residual, begins="plain"))), "itself"
    )
    assert_refused(tmp_path, budget(arms=(plain, plain)), "one name")
    assert_refused(tmp_path, budget(arms=(plain,)), "claim lower")
    assert_refused(tmp_path, budget(decides=("lowr",)), "did you mean 'lower'")
    with pytest.raises(BadSetting, match="it has: quick"):
        Schedule(study(), "laptop", store=Store(tmp_path))


def test_seeds_are_paired_and_each_is_complete_before_the_next(tmp_path: Path):
    made = Schedule(study(), "quick", store=Store(tmp_path), seeds=2)
    assert [(arm.name, seed) for arm, seed in made.pairs] == [
        ("plain", 0),
        ("residual", 0),
        ("plain", 1),
        ("residual", 1),
    ]
    assert made.seeds == (0, 1)
    assert isinstance(made.trial(*made.pairs[0]), Assignment)
    assert isinstance(made.pairs[0][0].network, NetworkSpec)
    assert made.cost(made.pairs[0][0]) > 0
    assert claim().effect[0].arm == "plain"
