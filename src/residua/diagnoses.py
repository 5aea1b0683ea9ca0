"""The public verb that says why a network learns, or does not."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.optim import Optimizer

from residua import evaluation, machine
from residua.diagnostics import diagnosis
from residua.diagnostics.case import Case, Loss, answer, opened, undisturbed
from residua.diagnostics.case import run as run_module
from residua.diagnostics.result import RunFacts
from residua.diagnostics.rules.remedies import with_measured_remedies
from residua.diagnostics.what_if import Make
from residua.diagnostics.what_if import what_if as measured_variants
from residua.networks.spec import NetworkSpec
from residua.opening import Asked, Opened, at_full_rate, opened_by_name, refuse_for_name, require_for_module
from residua.report.diagnosis_page import Diagnosed
from residua.report.diagnosis_progress import diagnosis_progress, remedies_progress
from residua.report.terminal import transfer_progress
from residua.runs import Run
from residua.training.optimizers import optimizer_for
from residua.training.plan import Plan
from residua.training.record import Record
from residua.training.spec import TrainSpec

_VERB = "residua.diagnose"
_SOURCE = "digits"
_EXAMPLES, _HELD_OUT = 1024, 512


def diagnose(
    what: str | os.PathLike[str] | NetworkSpec | nn.Module | Run,
    images: Tensor | tuple[Tensor, ...] | Mapping[str, Tensor] | None = None,
    labels: Any = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    held_out: tuple[Any, Any] | None = None,
    source: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    only: Sequence[str] = (),
    what_if: bool = False,
    seed: int = 0,
    device: str = "auto",
    out: str | os.PathLike[str] | None = None,
) -> Diagnosed:
    """Measures how signals and gradients travel through a network, and says what is wrong and what to do.

    What does not fit into a minute is left out, and said. The module comes back as it was: what has to be trained is a
    copy.

    Args:
        what: Any module, with its inputs; a run, finished or not, which brings its network and its images; or a
            network by name, specification or ``path.py:factory``, which is built and shown ``source``.
        images: A module's inputs: a tensor, a tuple for a forward of several, a mapping for one by name.
        labels: Of these.
        loss: Takes what the module gives and the labels, and returns the mean over the examples; None takes the
            cross-entropy where outputs are logits and labels whole numbers, else a linear functional of the outputs.
        optimizer: That the module learns with.
        held_out: Inputs and labels that it does not learn from.
        source: Of images for a network: a named set or a folder; None takes digits.
        data_root: Folder of the named sets; None follows ``RESIDUA_DATA``.
        only: Names of measurements, which are then made in full; none takes all that fit a minute.
        what_if: Whether variants of the network (its residual twin, another activation, norm, initialisation, learning
            rate) are measured beside it; the time that takes is said before.
        seed: Of a network's weights, and of which images are looked at.
        device: For a run or a network: ``auto``, ``cpu``, ``cuda``, …; a module stays where it is.
        out: The page; None writes it into a run's folder, or to ``NETWORK-diagnosis.html``, and none for a module.

    Raises:
        BadSetting: If there is no such network or measurement, or what is given does not go together.
        BadNetwork: If the network cannot take the images.
        ResiduaError: As `residua.train` does, for a source that cannot be used.
    """
    only = (only,) if isinstance(only, str) else only
    diagnosis.check_parts(only)
    machine.prepare_process()
    if isinstance(what, nn.Module):
        require_for_module(images, source, verb=_VERB)
        case = opened(what, images, labels, loss=loss, optimizer=optimizer, held_out=held_out)  # type: ignore[arg-type]
        found, facts = Opened(case=case), None
    else:
        refuse_for_name(images=images, labels=labels, loss=loss, optimizer=optimizer, held_out=held_out)
        seen = TrainSpec(
            source=_SOURCE if source is None else os.fspath(source),
            weights="none",
            seed=seed,
            data_root=None if data_root is None else os.fspath(data_root),
            device=device,
        )
        found = _opened(what.path if isinstance(what, Run) else what, source is not None, seen)
        facts = _facts(found)
    with diagnosis_progress() as told:
        measurements = diagnosis.diagnose(found.case, only=only, run=facts, told=told)
    if what_if:
        with remedies_progress() as tried:
            rows = measured_variants(found.case, make=_maker(found.plan), seed=seed, told=tried)
        findings = with_measured_remedies(measurements.findings, rows)
        measurements = replace(measurements, what_if=rows, findings=findings)
    measured = Diagnosed(measurements=measurements)
    if out is not None:
        return measured.write(os.fspath(out))
    if found.run is not None:
        return measured.write_into(found.run.path)
    return measured if isinstance(what, nn.Module) else measured.write(f"{found.case.name}-diagnosis.html")


def _opened(what: Any, sourced: bool, seen: TrainSpec) -> Opened:
    asked = Asked(what=what, seen=seen, sourced=sourced, verb=_VERB, examples=_EXAMPLES, held_out=_HELD_OUT)
    with transfer_progress(Console(stderr=True)) as progress:
        return opened_by_name(asked, progress)


def _facts(found: Opened) -> RunFacts | None:
    """Returns what a run's course tells, and how well it fits its images; None of what is no run."""
    if found.run is None or found.plan is None:
        return None
    return replace(run_facts(found.run, found.plan), fitted=_fitted(found.case))


def run_facts(run: Record, decided: Plan) -> RunFacts:
    """Returns what a run's files tell of its course."""
    rows = run.epochs() if (run.path / "metrics.jsonl").is_file() else []
    finished = run.status == "finished"
    simple = run.read("result")["baselines"] if finished else {}
    chosen = run.read("result")["chosen"]["epoch"] if finished else None
    counts = torch.bincount(decided.dataset.train.labels.cpu())
    commonest = float(counts.max() / counts.sum())
    return RunFacts(
        train_losses=tuple(row["train_loss"] for row in rows),
        train_accuracies=tuple(row["train_accuracy"] for row in rows),
        validation_losses=tuple(row["validation_loss"] for row in rows),
        validation_accuracies=tuple(row["validation_accuracy"] for row in rows),
        baseline=max((row["accuracy"] for row in simple.values()), default=commonest),
        label_smoothing=decided.recipe.label_smoothing,
        training_examples=len(decided.dataset.train),
        finished=finished,
        failed=run.status == "failed",
        chosen_epoch=chosen or None,
    )


def _fitted(case: Case) -> float:
    """Returns the share of the examples that the network gets right in evaluation mode."""
    right = 0
    with undisturbed(case.module) as module, torch.no_grad():
        module.eval()
        for first in range(0, len(case.examples), evaluation.BATCH_SIZE):
            some = case.examples.take(slice(first, first + evaluation.BATCH_SIZE))
            right += int((answer(run_module(module, some)).argmax(1) == some.labels).sum())
    return right / len(case.examples)


def _maker(decided: Plan | None) -> Make | None:
    """Returns what makes a network's optimizer as the recipe does, at its full rate; None where there is no recipe."""
    if decided is None:
        return None

    def make(network: nn.Module) -> Optimizer:
        recipe = decided.recipe
        return at_full_rate(optimizer_for(network, recipe.optimizer, stage_decay=recipe.stage_decay), decided)

    return make
