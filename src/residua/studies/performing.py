"""One trial from nothing to its measurements: trained as a run like any other, then measured once."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from residua import artifact, machine
from residua.artifact import Artifact
from residua.diagnostics.case import Case, opened
from residua.errors import BadNetwork, BadSetting, Interrupted
from residua.networks import factory, surgery
from residua.networks.network import build
from residua.studies.schedule import Assignment, Schedule
from residua.studies.store import Store
from residua.studies.trial import Measure, Measurement, Trial
from residua.training import checkpoint
from residua.training.fit import fit, resume
from residua.training.observers import Observer
from residua.training.plan import Plan, plan
from residua.training.record import Record


def train(one: Assignment, store: Store, schedule: Schedule, *, observers: Sequence[Observer] = ()) -> None:
    """Trains a trial to its end; goes on with one that was killed, to the result it would have had.

    Raises:
        Interrupted: If the user asked to stop; the state is saved.
        NonFiniteLoss: Where it diverges.
    """
    run = store.trial(one.address)
    if store.is_trained(one.address):
        return
    if _can_go_on(run, one):
        data_root = one.decided.asked.data_root if one.decided else None
        resume(run, data_root=data_root, observers=observers)
        return
    store.clear(one.address)
    fit(_planned(one, store, schedule), out=run.path, observers=observers)


def measure(one: Assignment, measures: Sequence[Measure], store: Store, schedule: Schedule) -> None:
    """Makes the measures on a trial that were not made before; one that fails is kept as a failure of the trial."""
    wanted = [each for each in measures if not store.is_measured(one.address, each)]
    if not wanted:
        return
    trial = _as_seen(one, store, schedule)
    for each in wanted:
        began = time.perf_counter()
        try:
            found = each.function(trial)
            _require_own_names(one, each, found, measures, store)
        except Interrupted:
            raise
        except Exception as error:
            store.fail(one.address, error, measure=each.name)
            continue
        store.keep(one.address, each, found, seconds=time.perf_counter() - began)


def _require_own_names(
    one: Assignment, measure: Measure, found: Measurement, measures: Sequence[Measure], store: Store
) -> None:
    """Checks that no other measure has given a number or a series of a name that this one gives.

    Raises:
        BadSetting: If one has.
    """
    for other in measures:
        if other is measure or not store.is_measured(one.address, other):
            continue
        kept, _ = store.measured(one.address, other)
        if both := sorted((kept.numbers.keys() & found.numbers.keys()) | (kept.series.keys() & found.series.keys())):
            raise BadSetting(
                f"measures {other.name} and {measure.name} both give {both[0]}; name one of them differently"
            )


def _can_go_on(run: Record, one: Assignment) -> bool:
    """Says whether a run was begun; one that starts from weights only from its first checkpoint on."""
    if not (run.path / "run.json").is_file():
        return False
    return one.begins is None or bool(checkpoint.found(run.checkpoints))


def _planned(one: Assignment, store: Store, schedule: Schedule) -> Plan:
    """Returns the plan of a trial with what it starts from."""
    assert one.decided is not None
    began = time.perf_counter()
    if one.begins is None:
        return replace(one.decided, began=began)
    weights = _write_start(one, store)
    asked = replace(schedule.asked(one.arm, one.seed, one.learning_rate), network=None, weights=str(weights))
    settings = tuple(setting for setting in asked.settings if not setting.startswith("network."))
    return replace(plan(replace(asked, settings=settings)), began=began)


def _write_start(one: Assignment, store: Store) -> Path:
    """Writes the weights that a trial starts from, with the identity blocks that are added to them, if not yet there.

    Raises:
        BadNetwork: If the arm says another network than the one that this makes.
    """
    assert one.begins is not None
    assert one.decided is not None
    path = store.start(one.address)
    if path.is_file():
        return path
    kept = artifact.load(store.trial(one.begins.address).model)
    network = kept.network()
    for stage, blocks in one.arm.deepen:
        network = surgery.deepen(network, stage, blocks, seed=one.seed)
    if network.spec.blocks != one.decided.specification.blocks:
        raise BadNetwork(
            f"{one.arm.name} begins with {one.begins.arm.name}, which deepened has {network.spec.blocks} blocks, and "
            f"its network has {one.decided.specification.blocks}; give the same"
        )
    artifact.save(
        Artifact(
            specification=network.spec,
            classes=kept.classes,
            preprocessing=kept.preprocessing,
            weights=network.state_dict(),
            metrics={},
        ),
        path,
    )
    return path


def _as_seen(one: Assignment, store: Store, schedule: Schedule) -> Trial:
    """Returns a trial as a measure sees it."""
    dataset = schedule.dataset(one.arm) if one.decided is None else one.decided.dataset
    device = machine.device(schedule.place.device)
    run = store.trial(one.address) if one.trains else None

    def network() -> nn.Module:
        made = _made(one) if run is None else artifact.load(run.model).network()
        return made.to(device)

    def case(images: int) -> Case:
        look = dataset if run is None else replace(dataset, preprocessing=artifact.load(run.model).preprocessing)
        held = look.test or look.validation
        unseen = None if held is None else look.drawn(held, images, seed=one.seed)
        return opened(network(), *look.drawn(look.train, images, seed=one.seed), held_out=unseen, name=one.name)

    return Trial(
        arm=one.arm.name,
        seed=one.seed,
        network=network,
        case=case,
        run=run,
        beginning=lambda: _beginning(one, store).to(device),
        begins=None if one.begins is None else _as_seen(one.begins, store, schedule),
    )


def _beginning(one: Assignment, store: Store) -> nn.Module:
    """Returns a network as it was before its first step, in evaluation mode."""
    if one.begins is None:
        return _made(one).eval()
    _write_start(one, store)
    return artifact.load(store.start(one.address)).network()


def _made(one: Assignment) -> nn.Module:
    """Returns a network as its seed draws it; torch's random state is left alone."""
    if one.decided is not None:
        return build(one.decided.specification, seed=one.seed)
    network = one.arm.network
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(one.seed)
        made = factory.from_file(network) if isinstance(network, str) else network(one.seed)  # type: ignore[operator]
    assert isinstance(made, nn.Module)
    return made
