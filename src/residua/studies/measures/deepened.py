"""What adding identity blocks to a trained network does: nothing at first, and then it learns on."""

import torch
from torch import Tensor, nn

from residua.diagnostics.case import Case, answer, run, undisturbed
from residua.studies.trial import Measure, Measurement, Trial
from residua.training.record import Record

_IMAGES = 512


def deepened(trial: Trial) -> Measurement:
    """Measures a deepened network against the one that it starts from, and every network's loss against its compute.

    Numbers, of a trial that starts from another one: ``logit_change``, max |f_deep(x) − f(x)| over 512 training images
    before the first step, in evaluation mode; ``new_gradient``, the norm of the loss's gradient by the parameters of
    the new blocks over that by all of them, in training mode; ``loss_before``, the mean cross-entropy in nats before
    the first step, in evaluation mode. Series: ``loss_by_compute``, the training loss of each epoch over the
    multiply-adds of the forward passes trained until then, those of the networks that it grew from included, in 10⁹.

    Raises:
        ValueError: If nothing was trained.
    """
    if trial.run is None:
        raise ValueError("deepened is of trials that were trained")
    series = {"loss_by_compute": _by_compute(trial)}
    if trial.begins is None or trial.beginning is None:
        return Measurement(series=series)
    deep, before, case = trial.beginning(), trial.begins.network(), trial.case(_IMAGES)
    with torch.no_grad():
        given, kept = (answer(run(one.eval(), case.examples)) for one in (deep, before))
        loss = float(case.loss(given, case.examples.labels))
    return Measurement(
        numbers={
            "logit_change": float((given - kept).abs().max()),
            "new_gradient": _share_of_new(deep, before, case),
            "loss_before": loss,
        },
        series=series,
    )


DEEPENED = Measure("deepened", deepened)


def _share_of_new(deep: nn.Module, before: nn.Module, case: Case) -> float:
    """Returns ‖∂L/∂(new parameters)‖ / ‖∂L/∂(all parameters)‖; new are those whose names the smaller one lacks."""
    old = {name for name, _ in before.named_parameters()}
    names = [name for name, _ in deep.named_parameters()]
    with undisturbed(deep) as module:
        loss = case.loss(run(module.train(), case.examples), case.examples.labels)
        gradients = torch.autograd.grad(loss, list(module.parameters()))
    new = [one for name, one in zip(names, gradients, strict=True) if name not in old]
    return float(_norm(new) / _norm(gradients))


def _norm(tensors: "list[Tensor] | tuple[Tensor, ...]") -> Tensor:
    return torch.stack([one.square().sum() for one in tensors]).sum().sqrt()


def _by_compute(trial: Trial) -> tuple[tuple[float, float], ...]:
    """Returns the points of a trial, after those of the trials that it grew from."""
    assert trial.run is not None
    points = () if trial.begins is None else _by_compute(trial.begins)
    spent, each = points[-1][0] if points else 0.0, _multiply_adds_an_epoch(trial.run)
    return (*points, *((spent + each * row["epoch"], row["train_loss"]) for row in trial.run.epochs()))


def _multiply_adds_an_epoch(record: Record) -> float:
    """Returns the multiply-adds of the forward passes of an epoch, in 10⁹."""
    images = record.read("data")["parts"]["train"]["images"]
    return record.read("network")["multiply_adds"] * images / 1e9
