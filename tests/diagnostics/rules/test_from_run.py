"""The four verdicts on a run, and the one on a run that diverged."""

from math import nan

import pytest
from tests.diagnostics.rules.fabricated import diagnosis, trained

from residua.diagnostics.rules import from_run
from residua.diagnostics.rules.rule import Rule

VERDICTS = {
    rule.name: rule
    for rule in (
        from_run.loss_is_no_number,
        from_run.does_not_fit,
        from_run.does_not_generalise,
        from_run.data_too_small_or_doubtful,
        from_run.fine,
    )
}


def verdicts(**changes) -> list[tuple[str, str]]:
    given = diagnosis(run=trained(**changes))
    return [(name, found.severity) for name, rule in VERDICTS.items() if (found := rule(given)) is not None]


def ends(train: float, validation: float | None) -> dict[str, tuple[float | None, ...]]:
    return {"train_accuracies": (0.6, 0.7, train), "validation_accuracies": (0.6, 0.7, validation)}


def test_a_run_that_fits_and_generalises_is_fine():
    assert verdicts() == [("fine", "note")]


@pytest.mark.parametrize(
    ("train", "severity"), [(0.89, "warning"), (0.71, "warning"), (0.69, "serious"), (0.4, "serious")]
)
def test_the_way_from_the_baseline_to_one_decides_whether_it_fits(train, severity):
    """With a baseline of 0.5, 0.9 is eight tenths of the way and 0.7 four."""
    assert verdicts(**ends(train, train)) == [("does not fit its training data", severity)]


def test_a_low_accuracy_may_be_a_good_fit_where_nothing_more_is_known():
    """The same 91 % fit with a baseline of 0.5, and do not with one of 0.8."""
    assert verdicts(**ends(0.91, 0.9), baseline=0.5) == [("fine", "note")]
    assert verdicts(**ends(0.91, 0.9), baseline=0.8)[0][0] == "does not fit its training data"
    assert verdicts(**ends(0.91, 0.9), baseline=None) == [("fine", "note")]


@pytest.mark.parametrize(("validation", "severity"), [(0.88, "warning"), (0.51, "warning")])
def test_a_gap_of_a_tenth_is_no_generalisation(validation, severity):
    assert verdicts(**ends(0.99, validation)) == [("fits but does not generalise", severity)]


@pytest.mark.parametrize(("train", "validation"), [(0.99, 0.9), (0.92, 0.85)])
def test_smaller_gaps_are_fine(train, validation):
    assert verdicts(**ends(train, validation)) == [("fine", "note")]


def test_a_gap_between_two_high_errors_is_no_matter():
    """19 and 30 % of errors: less than twice as many, though 11 points apart."""
    assert verdicts(**ends(0.81, 0.7), baseline=0.0) == [("fine", "note")]


def test_worse_than_no_network_on_other_examples_is_serious_and_makes_the_data_doubtful():
    found = verdicts(**ends(0.99, 0.4))
    assert found == [("fits but does not generalise", "serious"), ("data too small or doubtful", "warning")]


@pytest.mark.parametrize("changes", [{"training_examples": 199}, ends(0.99, None)])
def test_few_examples_and_none_held_out_bear_no_verdict(changes):
    assert verdicts(**changes) == [("data too small or doubtful", "warning")]


def test_a_run_that_diverged_gets_that_verdict_alone():
    assert verdicts(train_losses=(1.0, nan, nan), **ends(0.1, 0.1)) == [("loss is no number", "serious")]


def test_a_run_that_has_just_begun_gets_none():
    """Two epochs of a run under way say nothing; of one that has ended they say what they say."""
    begun = {"train_losses": (2.0, 1.9), "train_accuracies": (0.1, 0.2), "validation_accuracies": (0.1, 0.2)}
    assert verdicts(**begun, finished=False) == []
    assert verdicts(**begun, finished=True) == [("does not fit its training data", "serious")]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"finished": False}, "--resume"),
        ({"train_losses": (1.0, 0.9, 0.8)}, "--epochs"),
        ({"train_losses": (1.0, 0.8, 0.79)}, "learning rates"),
    ],
)
def test_the_remedy_depends_on_how_the_loss_went(changes, says):
    found = from_run.does_not_fit(diagnosis(run=trained(**ends(0.6, 0.6), **changes)))
    assert found is not None
    assert says in found.remedy


@pytest.mark.parametrize("rule", VERDICTS.values(), ids=list(VERDICTS))
def test_without_a_run_there_is_no_verdict(rule: Rule):
    assert rule(diagnosis()) is None


def test_what_is_right_without_augmentation_counts_where_it_is_known():
    """95 % of augmented images while learning, beside a baseline of 96 %, may be all of them as they are."""
    learned = {**ends(0.95, 0.96), "baseline": 0.96}
    assert verdicts(**learned)[0][0] == "does not fit its training data"
    assert verdicts(**learned, fitted=0.97)[0][0] == "does not fit its training data"
    assert verdicts(**learned, fitted=0.985)[0][0] == "fine"


def test_a_run_that_failed_diverged_though_no_epoch_with_it_was_written():
    assert verdicts(failed=True, train_losses=(), finished=False)[0] == ("loss is no number", "serious")
    given = diagnosis(run=trained(failed=True, train_losses=(2.0, 1.9), finished=False))
    found = from_run.loss_is_no_number(given)
    assert found is not None
    assert "epoch 3" in found.says


def test_the_validation_accuracy_is_that_of_the_weights_that_were_kept():
    fell = {"train_accuracies": (0.9, 0.98, 0.99), "validation_accuracies": (0.9, 0.97, 0.7), "fitted": 0.985}
    assert verdicts(**fell)[0][0] == "fits but does not generalise"
    assert verdicts(**fell, chosen_epoch=2) == [("fine", "note")]
