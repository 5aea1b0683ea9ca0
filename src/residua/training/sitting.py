"""One process's share of a run: from its start, or its resumption, to its end or its interruption."""

import contextlib
import copy
import os
import shlex
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, final

import torch

from residua import files
from residua.data.dataset import Part
from residua.errors import BadSetting, Interrupted, NonFiniteLoss, Terminated
from residua.evaluation import Outcome
from residua.networks.network import ResidualNetwork, build
from residua.networks.whitening import whiten
from residua.training import averaging, checkpoint, pace, refusals
from residua.training.distributed import ALONE, Team, noticing_losses
from residua.training.finish import Judgement, chosen_weights, finish, judge
from residua.training.interrupts import StopRequest, stop_on_signals
from residua.training.loop import Course, balanced, diverged, forward_of, read_losses, take_steps
from residua.training.observers import EpochEnded, Observer, RunEnded, RunStarted, StepEnded
from residua.training.optimizers import optimizer_for
from residua.training.plan import Plan
from residua.training.recalibration import settled
from residua.training.record import Record
from residua.training.state import State, scaler_for
from residua.training.steplog import StepLog

_WHITENED_FROM = 5000
"""Training images that a whitening stem is set from, as in Jordan 2024."""
_SAVING_SHARE = 1 / 20
"""Of the time goes into writing checkpoints, at most."""
_SECONDS_TO_SIGNAL = 2.0
"""torch's launcher looks at its processes ten times a second, and then ends those that are left."""


@final
class Saver:
    """Saves the state when its time has come."""

    def __init__(self, course: Course, state: State, folder: Path) -> None:
        self._course, self._state, self._folder = course, state, folder
        self._seconds = course.recipe.checkpoint_seconds
        self._saved = time.perf_counter()
        self._took = 0.0

    def save(self) -> None:
        """Saves now, after a look at the losses that were not read yet: what is not finite is not kept.

        All ranks come here together, and rank 0 writes.
        """
        began = time.perf_counter()
        read_losses(self._course, self._state, None, step=self._state.position.total_steps)
        self._course.team.lead(lambda: checkpoint.save(self._state, self._folder))
        self._saved = time.perf_counter()
        self._took = self._saved - began

    def is_due(self, *, epoch_ended: bool = False) -> bool:
        """Says by rank 0's clock whether an epoch's end, or the time since the last checkpoint, asks for the next one.

        Writing takes its share of the time at most; with no seconds between them every step has one.
        """
        seconds = 0.0 if epoch_ended else self._seconds
        wait = max(seconds, self._took / _SAVING_SHARE) if self._seconds else 0.0
        return self._course.team.leads and time.perf_counter() - self._saved >= wait


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Sitting:
    """A run while it trains in this process."""

    plan: Plan
    course: Course
    state: State
    network: ResidualNetwork
    observers: Sequence[Observer]
    seconds_per_step: float | None = None
    """As measured here; None where nothing was measured."""

    @classmethod
    def begin(cls, plan: Plan, observers: Sequence[Observer], team: Team = ALONE) -> "Sitting":
        begun = copy.deepcopy(plan.start.network) if plan.start else None
        network = begun or build(plan.specification, seed=plan.asked.seed)
        network.to(plan.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        dataset = plan.dataset.to(plan.device)
        if plan.start is None and plan.specification.stem.whitening:
            whiten(network, dataset.drawn(dataset.train, _WHITENED_FROM, seed=plan.asked.seed)[0])
        batch_size = min(plan.recipe.batch_size or len(dataset.train), len(dataset.train))
        if batch_size < team.ranks:
            refused = f"a batch of {batch_size} images is too small for {team.ranks} processes; use fewer"
            raise team.agreed(BadSetting(refused))
        team.together(lambda: refusals.require_numbers_to_normalise(plan.recipe, plan.inspection, processes=team.ranks))
        team.together(lambda: refusals.require_compiler(plan.recipe, plan.device))
        team.together(lambda: refusals.require_gpus_for_synchronised_norm(plan.recipe, plan.device))
        course = Course(
            dataset=dataset,
            recipe=plan.recipe,
            augment=plan.augment,
            batch_size=batch_size,
            epochs=plan.epochs,
            seed=plan.asked.seed,
            device=plan.device,
            precision=plan.precision,
            class_weights=balanced(dataset) if plan.recipe.class_weights == "balanced" else None,
            forward=forward_of(network, plan.recipe, team),
            team=team,
        )
        started = State(
            network=network,
            optimizer=optimizer_for(network, plan.recipe.optimizer, stage_decay=plan.recipe.stage_decay),
            average=averaging.begun(network, plan.recipe.averaging),
            scaler=scaler_for(plan.precision, plan.device),
        )
        return cls(plan=plan, course=course, state=started, network=network, observers=observers)

    def with_first_weights(self) -> "Sitting":
        """Returns the sitting with the weights that it starts from as first candidate, where they know the classes."""
        validation = self.course.dataset.validation
        if self.plan.start is None or self.plan.start.head == "drawn" or validation is None:
            return self
        outcome = self._outcome(validation)
        self._consider(0, outcome)
        said = f"before the first step: validation loss {outcome.loss:.3f}, accuracy {100 * outcome.accuracy:.1f} %"
        return replace(self, plan=replace(self.plan, remarks=(*self.plan.remarks, said)))

    def within(self, minutes: float) -> "Sitting":
        """Returns the sitting with as many epochs as fit into the minutes, by a measured step."""
        passed = (time.perf_counter() - self.plan.began) / 60
        per_step = pace.seconds_per_step(self.course, self.state)
        each = pace.seconds_per_epoch(self.course, per_step)
        last = pace.seconds_at_end(self.course, per_step)
        [(passed, each, last), *_] = self.course.team.gathered((passed, each, last))
        epochs = pace.affordable_epochs(max(0.01, minutes - passed), each, last)
        reason = f"as many epochs as fit into {minutes:g} min at the measured {each:.1f} s each"
        return replace(
            self,
            plan=replace(self.plan, epochs=epochs, recipe=replace(self.plan.recipe, epochs=epochs), reason=reason),
            course=replace(self.course, epochs=epochs),
            seconds_per_step=per_step,
        )

    def run(self, made: Record) -> None:
        """Trains the epochs that are left and writes the result."""
        try:
            with stop_on_signals() as stop, noticing_losses(self.course.team, lambda: self._says_lost(made, stop)):
                self._tell_start(made)
                saver = Saver(self.course, self.state, made.checkpoints)
                self._train(made, saver, stop)
                judged = self._judged(made, saver, stop)
                finish(made, self.plan, self.network, self.state, judged, team=self.course.team)
        except BaseException as error:
            if self.course.team.leads and made.status == "training":
                with contextlib.suppress(OSError):  # on a full disk the checkpoint before is what counts
                    made.update(status="failed" if isinstance(error, NonFiniteLoss) else "stopped")
            for observer in self.observers:
                observer.run_stopped()
            if isinstance(error, NonFiniteLoss):
                error.add_note(f"next: residua diagnose {shlex.quote(str(made.path))}")
            raise
        self._tell_end(made)

    def saying(self, line: str) -> "Sitting":
        """Returns the sitting with one more line that the user should read; an empty one is none."""
        return replace(self, plan=replace(self.plan, remarks=(*self.plan.remarks, line))) if line else self

    def _says_lost(self, made: Record, stop: StopRequest) -> str:
        """Says where a run is that lost a process, once the launcher's SIGTERM has come, which would cut this off."""
        stop.wait(_SECONDS_TO_SIGNAL)
        there = checkpoint.found(made.checkpoints)
        saved = f"the newest checkpoint is {there[-1].name}" if there else "there is no checkpoint yet"
        return (
            f"another process of the run ended after step {self.state.position.total_steps:,}; {saved}: "
            f"go on with `residua train --resume {shlex.quote(str(made.path))}`"
        )

    def _train(self, made: Record, saver: Saver, stop: StopRequest) -> None:
        position = self.state.position
        if position.total_steps == 0 and self.plan.start is not None:
            saver.save()
        log = self.course.team.together(lambda: self._begun_log(made))
        with contextlib.closing(log):
            while not self._is_over():
                before = self.state.position.loss_sum
                for images in take_steps(self.course, self.state):
                    log.add(self._step_row(before))
                    before = self.state.position.loss_sum
                    self._tell_step(images)
                    self._stop_or_save(made, saver, stop)
                self._end_epoch(made, saver, stop)
                self._stop_or_save(made, saver, stop, epoch_ended=not self._is_over())

    def _begun_log(self, made: Record) -> StepLog:
        """Opens the step log; ranks but the first have one that keeps nothing."""
        path = made.path / "steps.jsonl" if self.course.team.leads else Path(os.devnull)
        with made.writing():
            return StepLog(path, after=self.state.position.total_steps)

    def _stop_or_save(self, made: Record, saver: Saver, stop: StopRequest, *, epoch_ended: bool = False) -> None:
        """Stops where any rank was asked to, else saves where that is due: all ranks at the same step."""
        asked, due = self.course.team.largest([stop.signal or 0, saver.is_due(epoch_ended=epoch_ended)])
        if asked:
            self._interrupt(made, saver, asked)
        if due:
            saver.save()

    def _is_over(self) -> bool:
        """Says whether all epochs are done, or validation has not improved for as many as the recipe's patience."""
        if self.state.position.epoch > self.course.epochs:
            return True
        patience = self.course.recipe.patience
        losses = [row.validation_loss for row in self.state.history if row.validation_loss is not None]
        return patience is not None and bool(losses) and len(losses) - 1 - losses.index(min(losses)) >= patience

    def _step_row(self, loss_sum: float) -> dict[str, Any]:
        """Returns a line of the step log; the loss is None on a GPU, which is not waited for at every step."""
        position = self.state.position
        waits = self.course.device.type != "cuda"
        loss = (position.loss_sum - loss_sum) / self.course.batch_size if waits else None
        return {"step": position.total_steps, "epoch": position.epoch, "loss": loss}

    def _interrupt(self, made: Record, saver: Saver, number: int) -> None:
        saver.save()
        done, steps = self.state.position.total_steps, self.course.steps
        command = f"residua train --resume {shlex.quote(str(made.path))}"
        kind = Terminated if number == signal.SIGTERM else Interrupted
        raise self.course.team.agreed(kind(f"stopped after step {done:,} of {steps:,}, saved; go on with: {command}"))

    def _end_epoch(self, made: Record, saver: Saver, stop: StopRequest) -> None:
        """Evaluates on validation, writes the epoch's line, and moves on to the next epoch."""
        validation, average = self.course.dataset.validation, self.state.result(self.course.recipe.averaging)
        began, outcome = time.perf_counter(), None
        if validation is not None:
            with self._looking(made, saver, stop, average):
                outcome = self._outcome(validation)
        with averaging.averaged(self.network, average):
            self._judge_epoch(made, began, outcome)

    def _judged(self, made: Record, saver: Saver, stop: StopRequest) -> Judgement:
        """Evaluates the chosen weights on all that is held out."""
        with (
            self._looking(made, saver, stop, chosen_weights(self.plan, self.state)),
            settled(self.network, self.course),
        ):
            return judge(self.plan, self.network, self.state, team=self.course.team)

    @contextlib.contextmanager
    def _looking(
        self, made: Record, saver: Saver, stop: StopRequest, weights: averaging.Weights | None
    ) -> Iterator[None]:
        """Puts weights into the network for an evaluation, which a signal ends at once: the state has no part in it.

        Of several processes a signal may reach one, which would leave the others waiting: they end theirs first.
        """
        cut = stop.at_once() if self.course.team.ranks == 1 else contextlib.nullcontext()
        try:
            with averaging.averaged(self.network, weights), cut:
                yield
        except KeyboardInterrupt:
            if stop.signal is None:
                raise
            self._interrupt(made, saver, stop.signal)

    def _judge_epoch(self, made: Record, began: float, outcome: Outcome | None) -> None:
        position = self.state.position
        if outcome and not isfinite(outcome.loss):
            raise self.course.team.agreed(
                diverged(f"the validation loss is {outcome.loss}", position.epoch, self.course.recipe)
            )
        position.seconds += time.perf_counter() - began
        row = EpochEnded(
            epoch=position.epoch,
            step=position.total_steps,
            train_loss=position.loss_sum / position.seen,
            train_accuracy=position.correct / position.seen,
            validation_loss=outcome.loss if outcome else None,
            validation_accuracy=outcome.accuracy if outcome else None,
            learning_rate=self.course.learning_rate(position.total_steps - 1),
            images_per_second=position.seen / position.training_seconds,
            seconds=position.seconds,
        )
        self.state.history.append(row)
        if outcome:
            self._consider(row.epoch, outcome)
        self.state.begin_next_epoch()
        self.course.team.lead(lambda: self._write_epochs(made))
        for observer in self.observers:
            observer.epoch_ended(row)

    def _write_epochs(self, made: Record) -> None:
        with made.writing():
            files.write_json_lines(made.path / "metrics.jsonl", [asdict(row) for row in self.state.history])

    def _consider(self, epoch: int, outcome: Outcome) -> None:
        """Keeps the weights where the recipe would choose them of all epochs so far."""
        if self.course.recipe.choose == "best":
            self.state.keep_best(epoch, outcome.loss)
        elif self.course.recipe.choose == "latest_good":
            self.state.keep_latest_good(epoch, outcome.accuracy, len(outcome.labels))

    def _outcome(self, part: Part) -> Outcome:
        with settled(self.network, self.course):
            return self.course.team.evaluate(
                self.network,
                part,
                self.course.dataset.preprocessing,
                device=self.course.device,
                precision=self.course.precision,
            )

    def _tell_start(self, made: Record) -> None:
        event = RunStarted(
            run=str(made.path),
            headline=self.plan.headline,
            notes=self.plan.notes,
            epochs=self.course.epochs,
            steps_per_epoch=self.course.steps_per_epoch,
            first_epoch=self.state.position.epoch,
            steps_done=self.state.position.total_steps,
            network=self.network,
            optimizer=self.state.optimizer,
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
        if not self.observers:
            return
        result = made.read("result")
        headline = result["headline"] or {}
        views = result["parts"][headline["part"]].get("views") if headline else None
        low, high = headline.get("interval", (0.0, 1.0))
        event = RunEnded(
            run=str(made.path),
            part=headline.get("part"),
            accuracy=headline.get("accuracy"),
            interval=(low, high) if headline else None,
            seconds=time.perf_counter() - self.plan.began,
            views=(views["kind"], views["accuracy"]) if views else None,
            beats_baselines=headline.get("beats_baselines", True),
        )
        for observer in self.observers:
            observer.run_ended(event)
