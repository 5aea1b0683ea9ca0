"""`fit`: from what a user asked to a finished run directory; `resume` goes on with one that was stopped."""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from residua import artifact, configuration, evaluation, files, machine
from residua.data import sources
from residua.data.dataset import Part, Preprocessing
from residua.data.sources import Progress
from residua.errors import BadRun, Interrupted, NonFiniteLoss
from residua.evaluation import Outcome
from residua.networks.checkpointing import checkpointed
from residua.networks.network import ResidualNetwork, build
from residua.networks.spec import NetworkSpec
from residua.training import pace, record, state, transfer
from residua.training.finish import finish
from residua.training.interrupts import StopRequest, stop_on_interrupt
from residua.training.loop import Course, take_steps
from residua.training.observers import EpochEnded, Observer, RunEnded, RunStarted, StepEnded
from residua.training.optimizers import optimizer_for
from residua.training.plan import Plan, TrainSpec, plan
from residua.training.recipe import Recipe
from residua.training.record import Record
from residua.training.state import State

_CHECKPOINT_SECONDS = 15.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A finished run with what it was made from still in memory."""

    record: Record
    plan: Plan
    network: ResidualNetwork
    """With the chosen weights, in evaluation mode, on the processor."""


def fit(decided: Plan, *, out: Path | None = None, observers: Sequence[Observer] = ()) -> Fitted:
    """Trains as planned and returns the finished run.

    Args:
        decided: What `residua.training.plan.plan` made of the user's wishes.
        out: The run directory; None takes the next free ``runs/SOURCE-NETWORK-NUMBER``.
        observers: Are told what happens.

    Raises:
        BadSetting: If ``out`` is taken.
        Interrupted: If the user asked to stop; the state is saved.
        NonFiniteLoss: At the first step whose loss is no finite number.
    """
    sitting = _Sitting.begin(with_head(decided), observers)
    if decided.asked.minutes is not None:
        sitting = sitting.within(decided.asked.minutes)
    sitting = sitting.with_first_weights()
    made = record.create(Path(decided.asked.source).name, decided.network_name, out)
    _write_beginning(made, sitting.plan)
    return sitting.run(made)


def with_head(decided: Plan, *, progress: Progress | None = None) -> Plan:
    """Returns the plan with a head fitted to cached features, where its recipe puts that first and it is to be done."""
    start = decided.start
    if start is None or start.keeps_head or not decided.recipe.head_first:
        return decided
    return replace(decided, start=transfer.fit_head(start, decided.dataset, device=decided.device, progress=progress))


def resume(run: Record, *, observers: Sequence[Observer] = (), progress: Progress | None = None) -> Fitted:
    """Goes on with a stopped run from its checkpoint, to the result it would have had.

    Raises:
        BadRun: If the run is finished, has no checkpoint, or its images are no longer the same.
    """
    if run.status == "finished":
        raise BadRun(f"{run.path} is finished; see {run.report}, or train anew with `residua train`")
    if not run.checkpoint.is_file():
        raise BadRun(f"no checkpoint in {run.path}; it stopped before its first one: train anew with `residua train`")
    sitting = _Sitting.begin(planned(run, progress=progress), observers)
    state.restore(sitting.state, run.checkpoint, sitting.plan.device)
    run.update(status="training", resumed=int(run.read("run")["resumed"]) + 1)
    return sitting.run(run)


def reopen(run: Record, *, progress: Progress | None = None) -> Fitted:
    """Reads a finished run's images and network back into memory."""
    return Fitted(record=run, plan=planned(run, progress=progress), network=artifact.load(run.model).network())


def _command(decided: Plan) -> str:
    """Returns the command line that was given, or for a run made in Python what was asked."""
    program = Path(sys.argv[0])
    if program.name in ("residua", "residua.exe") or program.parent.name == "residua":
        return shlex.join(["residua", *sys.argv[1:]])
    return f"from Python: {decided.asked}"


def planned(run: Record, *, data_root: str | None = None, progress: Progress | None = None) -> Plan:
    """Decides again what a run decided at its start, on the same images.

    Args:
        run: The run.
        data_root: Where the named sets are now; None keeps the place of then.
        progress: Is told of downloads and decoding.

    Raises:
        BadRun: If the images are no longer the same.
    """
    kept = run.read("run")
    asked = replace(
        configuration.from_json(TrainSpec, kept["asked"]),
        network=configuration.from_json(NetworkSpec, run.read("specification")),
        weights="none",
        deepen=None,
    )
    decided = plan(replace(asked, data_root=data_root or asked.data_root), progress=progress)
    before, now = run.read("data")["parts"], decided.dataset.card()["parts"]
    changed = [name for name in before if before[name]["digest"] != now.get(name, {}).get("digest")]
    if changed:
        raise BadRun(
            f"the {changed[0]} part of {asked.source} is not what {run.path} was trained on; "
            "put the images back, or train anew with `residua train`"
        )
    seen = configuration.from_json(Preprocessing, run.read("data")["preprocessing"])
    return replace(
        decided,
        epochs=int(kept["epochs"]),
        recipe=configuration.from_json(Recipe, run.read("recipe")),
        network_name=kept["network"],
        reason=kept["reason"],
        dataset=replace(decided.dataset, preprocessing=seen),
    )


def _wherever(decided: Plan) -> TrainSpec:
    """Returns what was asked with whole paths, so that the run can be resumed from any folder."""
    asked = decided.asked
    root = None if asked.data_root is None else str(Path(asked.data_root).expanduser().resolve())
    named = asked.source in sources.names()
    source = asked.source if named else str(Path(asked.source).expanduser().resolve())
    weights = decided.start.origin if decided.start else "none"
    return replace(asked, source=source, data_root=root, weights=weights, recipe=decided.recipe.name)


def _start_card(decided: Plan) -> dict[str, Any] | None:
    """Returns what the run starts from, for JSON."""
    start = decided.start
    if start is None:
        return None
    return {"weights": start.origin, "says": start.says, "head": "known" if start.keeps_head else "drawn"}


def _write_beginning(made: Record, decided: Plan) -> None:
    """Writes all that is known before the first step."""
    made.write(
        "run",
        {
            "name": made.path.name,
            "source": decided.asked.source,
            "network": decided.network_name,
            "status": "training",
            "seed": decided.asked.seed,
            "created": datetime.now(UTC).isoformat(timespec="microseconds"),
            "command": _command(decided),
            "headline": decided.headline,
            "reason": decided.reason,
            "start": _start_card(decided),
            "notes": list(decided.notes),
            "epochs": decided.epochs,
            "resumed": 0,
            "asked": configuration.to_json(_wherever(decided)),
        },
    )
    made.write("specification", configuration.to_json(decided.specification))
    made.write("network", decided.inspection.to_json())
    made.write("recipe", configuration.to_json(decided.recipe))
    made.write("data", decided.dataset.card())
    made.write("split", decided.dataset.split())
    made.write("environment", machine.description())


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Sitting:
    """One process's share of a run: from its start, or its resumption, to its end or its interruption."""

    plan: Plan
    course: Course
    state: State
    network: ResidualNetwork
    observers: Sequence[Observer]

    @classmethod
    def begin(cls, plan: Plan, observers: Sequence[Observer]) -> "_Sitting":
        network = plan.start.network if plan.start else build(plan.specification, seed=plan.asked.seed)
        network.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        forward: Callable[[Tensor], Tensor] = torch.compile(network) if plan.recipe.compile else network
        if plan.recipe.checkpoint_activations:
            forward = checkpointed(network)
        dataset = plan.dataset.to(plan.device)
        course = Course(
            dataset=dataset,
            recipe=plan.recipe,
            augment=plan.augment,
            batch_size=min(plan.recipe.batch_size or len(dataset.train), len(dataset.train)),
            epochs=plan.epochs,
            seed=plan.asked.seed,
            device=plan.device,
            bfloat16=plan.bfloat16,
            forward=forward,
        )
        started = State(
            network=network,
            optimizer=optimizer_for(network, plan.recipe.optimizer, stage_decay=plan.recipe.stage_decay),
        )
        return cls(plan=plan, course=course, state=started, network=network, observers=observers)

    def with_first_weights(self) -> "_Sitting":
        """Returns the sitting with the weights that it starts from as first candidate, where they know the classes."""
        validation = self.course.dataset.validation
        if self.plan.start is None or not self.plan.start.keeps_head or validation is None:
            return self
        outcome = self._outcome(validation)
        if self.course.recipe.choose == "best":
            self.state.keep_best(0, outcome.loss)
        said = f"before the first step: validation loss {outcome.loss:.3f}, accuracy {100 * outcome.accuracy:.1f} %"
        return replace(self, plan=replace(self.plan, remarks=(*self.plan.remarks, said)))

    def within(self, minutes: float) -> "_Sitting":
        """Returns the sitting with as many epochs as fit into the minutes, by a measured step."""
        passed = (time.perf_counter() - self.plan.began) / 60
        each = pace.seconds_per_epoch(self.course, self.state)
        epochs = pace.affordable_epochs(max(0.01, minutes - passed), each)
        reason = f"as many epochs as fit into {minutes:g} min at the measured {each:.1f} s each"
        return replace(
            self,
            plan=replace(self.plan, epochs=epochs, recipe=replace(self.plan.recipe, epochs=epochs), reason=reason),
            course=replace(self.course, epochs=epochs),
        )

    def run(self, made: Record) -> Fitted:
        """Trains the epochs that are left and writes the result."""
        try:
            with stop_on_interrupt() as stop:
                self._tell_start(made)
                self._train(made, stop)
                finish(made, self.plan, self.network, self.state, seconds=time.perf_counter() - self.plan.began)
        except BaseException as error:
            if not isinstance(error, Interrupted) and made.status == "training":
                made.update(status="failed" if isinstance(error, NonFiniteLoss) else "stopped")
            for observer in self.observers:
                observer.run_stopped()
            raise
        self._tell_end(made)
        return Fitted(record=made, plan=self.plan, network=self.network)

    def _train(self, made: Record, stop: StopRequest) -> None:
        saved = time.perf_counter()
        while self.state.position.epoch <= self.course.epochs:
            for images in take_steps(self.course, self.state):
                self._tell_step(images)
                if stop.asked:
                    self._interrupt(made)
            self._end_epoch(made)
            last = self.state.position.epoch > self.course.epochs
            if not last and (stop.asked or time.perf_counter() - saved > _CHECKPOINT_SECONDS):
                state.save(self.state, made.checkpoint)
                saved = time.perf_counter()
            if stop.asked and not last:
                self._interrupt(made)

    def _interrupt(self, made: Record) -> None:
        state.save(self.state, made.checkpoint)
        made.update(status="stopped")
        done, steps = self.state.position.total_steps, self.course.steps
        command = f"residua train --resume {shlex.quote(str(made.path))}"
        raise Interrupted(f"stopped after step {done:,} of {steps:,}, saved; go on with: {command}")

    def _end_epoch(self, made: Record) -> None:
        """Evaluates on validation, writes the epoch's line, and moves on to the next epoch."""
        validation = self.course.dataset.validation
        began = time.perf_counter()
        outcome = None if validation is None else self._outcome(validation)
        position = self.state.position
        position.seconds += time.perf_counter() - began
        row = EpochEnded(
            epoch=position.epoch,
            step=position.total_steps,
            train_loss=position.loss_sum / position.seen,
            train_accuracy=position.correct / position.seen,
            validation_loss=outcome.loss if outcome else None,
            validation_accuracy=outcome.accuracy if outcome else None,
            learning_rate=float(max(group["lr"] for group in self.state.optimizer.param_groups)),
            images_per_second=position.seen / position.training_seconds,
            seconds=position.seconds,
        )
        self.state.history.append(row)
        if outcome and self.course.recipe.choose == "best":
            self.state.keep_best(row.epoch, outcome.loss)
        self.state.begin_next_epoch()
        files.write_json_lines(made.path / "metrics.jsonl", [asdict(row) for row in self.state.history])
        for observer in self.observers:
            observer.epoch_ended(row)

    def _outcome(self, part: Part) -> Outcome:
        return evaluation.evaluate(
            self.network,
            part,
            self.course.dataset.preprocessing,
            device=self.course.device,
            bfloat16=self.course.bfloat16,
        )

    def _tell_start(self, made: Record) -> None:
        event = RunStarted(
            run=str(made.path),
            headline=self.plan.headline,
            notes=self.plan.notes,
            epochs=self.course.epochs,
            steps_per_epoch=self.course.steps_per_epoch,
            first_epoch=self.state.position.epoch,
        )
        for observer in self.observers:
            observer.run_started(event)

    def _tell_step(self, images: int) -> None:
        position = self.state.position
        seen = max(1, position.seen)
        event = StepEnded(
            epoch=position.epoch,
            step=position.step,
            images=images,
            loss=position.loss_sum / seen if position.seen else None,
            accuracy=position.correct / seen if position.seen else None,
        )
        for observer in self.observers:
            observer.step_ended(event)

    def _tell_end(self, made: Record) -> None:
        headline = made.read("result")["headline"] or {}
        low, high = headline.get("interval", (0.0, 1.0))
        event = RunEnded(
            run=str(made.path),
            part=headline.get("part"),
            accuracy=headline.get("accuracy"),
            interval=(low, high) if headline else None,
            seconds=time.perf_counter() - self.plan.began,
        )
        for observer in self.observers:
            observer.run_ended(event)
