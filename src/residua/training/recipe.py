"""What a training run does with its images: recipes are data, and each says what it promises.

`recipe` gives one by name; single fields are changed with ``--set optimizer.learning_rate=0.1``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from residua.configuration import check, check_choices
from residua.data.augment import AugmentSpec
from residua.data.mixing import MixSpec
from residua.errors import BadSetting, unknown
from residua.evaluation import Views
from residua.training.averaging import Averaging
from residua.training.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Says how a gradient becomes a step."""

    kind: Literal["sgd", "adam", "adamw", "rmsprop", "muon"] = "sgd"
    """``muon`` steps the stages' convolutions by orthogonalised momentum and all else as ``sgd`` with Nesterov does
    (`residua.training.muon`)."""
    learning_rate: float = 0.2
    """Peak of the schedule, for the recipe's batch size (for 256 where that is left to the rule)."""
    momentum: float = 0.9
    """For ``sgd`` and ``rmsprop``; the first beta of ``adam`` and ``adamw``."""
    nesterov: bool = True
    """For ``sgd`` only."""
    filter_scale: float = 1.0
    """Learning rate of the stages' convolutions over ``learning_rate``; their weight decay is divided by it."""
    filter_momentum: float = 0.6
    """For ``muon``: its convolutions' momentum."""
    norm_bias_scale: float = 1.0
    """Learning rate of norms' shifts, and of a whitening stem's bias, over ``learning_rate``; their weight decay is
    divided by it. Jordan 2024, §3.4: 64, with logits divided by 9; that division is 81 in the head's rate here."""
    second_moment_decay: float = 0.999
    """The second beta of ``adam`` and ``adamw``; the smoothing of ``rmsprop``."""
    weight_decay: float = 5e-4
    """Coupled (added to the gradient) but for ``adamw``, where it is decoupled."""
    decay_norm_and_bias: bool = False
    """Whether tensors of one dimension (biases, norms' scale and shift) are decayed too."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(0 < self.learning_rate < inf, "optimizer.learning_rate", self.learning_rate, "above 0")
        check(0 <= self.momentum < 1, "optimizer.momentum", self.momentum, "0 up to but not 1")
        rates = ("filter_scale", "norm_bias_scale")
        for name in rates:
            check(0 < getattr(self, name) < inf, f"optimizer.{name}", getattr(self, name), "above 0")
        check(0 <= self.filter_momentum < 1, "optimizer.filter_momentum", self.filter_momentum, "0 up to but not 1")
        check(0 <= self.weight_decay < inf, "optimizer.weight_decay", self.weight_decay, "0 or above")
        smoothing = self.second_moment_decay
        check(0 <= smoothing < 1, "optimizer.second_moment_decay", smoothing, "0 up to but not 1")
        nesterov_moves = not (self.kind == "sgd" and self.nesterov and self.momentum == 0)
        check(nesterov_moves, "optimizer.nesterov", self.nesterov, "false where momentum is 0")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Says how a network learns: everything but the network and the images."""

    name: str
    epochs: int | None = None
    """Passes over the training part; None leaves them to the written rule (`residua.training.choice`)."""
    batch_size: int | None = None
    """Examples per optimizer step; None leaves them to the rule, which scales the learning rate with them."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    label_smoothing: float = 0.0
    """Share of the target spread evenly over all classes."""
    head_first: bool = False
    """Whether a head that does not know the classes is fitted to cached features before the first step
    (`residua.training.transfer.fit_head`); moot where a run starts from nothing."""
    stage_decay: float = 1.0
    """Learning rate of a part (stem, stages, tail, head) over that of the part behind it; 1 gives all the same."""
    stem_epochs: int | None = None
    """Epochs after which the stem learns no more, for speed (Jordan 2024, §3.1: a whitening stem's bias, 3); None
    lets it learn throughout."""
    averaging: Averaging = field(default_factory=Averaging)
    """What is made of the weights of many steps."""
    recalibration_images: int = 0
    """Training images from which batch norms' statistics are taken anew for the weights that are evaluated and kept
    (Wu and Johnson 2021, arXiv:2105.07576, §3), at most 256 MiB of them; 0 keeps the running averages."""
    micro_batches: int = 1
    """Parts in which a step's images are computed one after another, for less memory: the same step, but that batch
    norms see one part at a time."""
    class_weights: Literal["none", "balanced"] = "none"
    """``balanced``: an example's loss counts n / (k · n of its class), so that all k classes count alike."""
    mixup: float = 0.0
    """α of mixup, with labels mixed alike (Zhang et al. 2018); 0 does not mix."""
    cutmix: float = 0.0
    """α of cutmix (Yun et al. 2019); 0 does not mix. With mixup, each step takes one of both."""
    gradient_clip_norm: float | None = None
    """Largest norm of the gradient over all parameters; None does not clip."""
    crop_padding: int | None = None
    """Pixels added on every side before a random crop of the old size; None follows the source, 0 is off."""
    flip: Literal["auto", "none", "random", "alternating"] = "auto"
    """Mirroring left to right; ``auto`` follows the source (off for digits)."""
    padding: Literal["auto", "reflect", "zero"] = "auto"
    """What the crop's padding holds."""
    crop_smallest_area: float | None = None
    """Smallest share of an image that a random crop keeps and enlarges to the old size, of sides 3:4 to 4:3 (Szegedy
    et al. 2015: 0.08); None shifts by ``crop_padding`` instead."""
    erase: float = 0.0
    """Share of the images in which a random rectangle is covered with noise (Zhong et al. 2020: 0.5)."""
    per_pixel_mean: bool = False
    """Whether the mean that is taken off belongs to each pixel (He 2015), not to each channel."""
    validation_fraction: float = 0.1
    """Share of the training images held out to choose the epoch, at most 2,500; 0 holds out none."""
    choose: Literal["best", "latest_good", "last"] = "best"
    """The epoch that is kept: ``best``, the one of lowest validation loss; ``latest_good``, the latest whose
    validation accuracy is within one standard error of the best, for where few images are held out and the schedule
    ends at small steps; or ``last``, as always where nothing is held out."""
    patience: int | None = None
    """Epochs without a lower validation loss after which the run ends early; None trains all epochs."""
    views: Views = "one"
    """Of a test image, whose logits are averaged into a second accuracy beside that of one view; left out where
    training mirrors no image."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic of convolutions and linear layers; weights are float32. ``auto``: bfloat16 where it is native;
    float16, for GPUs without it, scales the loss (`residua.training.state.scaler_for`)."""
    compile: bool = False
    """Whether ``torch.compile`` makes the training step; pays on a GPU, not on a processor."""
    synchronised_norm: bool = False
    """Whether batch norm takes its statistics from a whole batch where several processes share it, not from each
    process's images; on GPUs only."""
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints; what a kill costs at most, with the step under way. A checkpoint that takes long
    to write makes it longer: writing takes a twentieth of the time at most."""
    checkpoint_activations: bool = False
    """Whether most activations are computed again in the backward pass instead of kept: less memory, more time
    (`residua.networks.checkpointing`)."""

    def __post_init__(self) -> None:
        check_choices(self)
        check(
            self.batch_size is None or self.batch_size >= 1,
            "batch_size",
            self.batch_size,
            "1 or above, or none",
        )
        check(self.epochs is None or self.epochs >= 1, "epochs", self.epochs, "1 or above, or none for the rule")
        check(0 <= self.label_smoothing < 1, "label_smoothing", self.label_smoothing, "0 up to but not 1")
        check(0 <= self.validation_fraction < 0.9, "validation_fraction", self.validation_fraction, "0 to 0.9")
        check(self.checkpoint_seconds >= 0, "checkpoint_seconds", self.checkpoint_seconds, "0 or above")
        check(self.stem_epochs is None or self.stem_epochs >= 0, "stem_epochs", self.stem_epochs, "0 or above, or none")
        check(self.recalibration_images >= 0, "recalibration_images", self.recalibration_images, "0 or above")
        check(self.micro_batches >= 1, "micro_batches", self.micro_batches, "1 or above")
        check(self.patience is None or self.patience >= 1, "patience", self.patience, "1 epoch or above, or none")
        MixSpec(mixup=self.mixup, cutmix=self.cutmix)
        AugmentSpec(crop_smallest_area=self.crop_smallest_area, erase=self.erase)
        check(0 < self.stage_decay <= 1, "stage_decay", self.stage_decay, "above 0, up to 1")
        both = self.compile and self.checkpoint_activations
        check(not both, "checkpoint_activations", True, "false where compile is true")
        twice = self.synchronised_norm and self.checkpoint_activations
        check(not twice, "checkpoint_activations", True, "false where synchronised_norm is true")
        clip = self.gradient_clip_norm
        check(clip is None or clip > 0, "gradient_clip_norm", clip, "above 0, or none")


def default() -> Recipe:
    """One-cycle SGD with Nesterov momentum, label smoothing 0.1, no decay on norm and bias.

    Holds out a validation part (a tenth, at most 2,500 images), which chooses the epoch by its loss.
    """
    return Recipe(name="default", label_smoothing=0.1)


def transfer() -> Recipe:
    """For networks that have learned something: a head on cached features first, then all layers by small steps.

    One-cycle SGD with Nesterov momentum at two fifths of `default`'s rate for the head, each part at half the rate of
    the part behind it. A network of five CIFAR-10 classes moved to the other five, 50 images a class, one seed: at this
    rate 79.0 % in 12 epochs, at an eighth of it 73.8 %, which the fitted head has alone.
    Holds out a validation part; the latest epoch within one standard error of its best accuracy is kept, the
    fitted head alone being epoch 0. (With 25 images held out there, the lowest loss chose epoch 1 of 20.)
    """
    return Recipe(
        name="transfer",
        optimizer=Optimizer(learning_rate=0.08, weight_decay=1e-4),
        label_smoothing=0.1,
        choose="latest_good",
        head_first=True,
        stage_decay=0.5,
    )


def fast() -> Recipe:
    """For small images in minutes: the published ingredients of fast training (Jordan 2024), with shortcuts.

    Made for ``fast-resnet8``, which it takes where no network is named. Muon on the convolutions, a high rate on
    norms' shifts, lookahead, rates that fall linearly from the first step, label smoothing 0.2, crops by 2 pixels,
    alternating flips; the stem learns for three epochs, and batch norms' statistics are those of the last weights.
    Trains on all training images; the last epoch is the result, whose accuracy is given for one view and for six.
    Measured: docs/fast.md.
    """
    return Recipe(
        name="fast",
        batch_size=1000,
        optimizer=Optimizer(
            kind="muon",
            learning_rate=0.01,
            momentum=0.85,
            weight_decay=0.2,
            filter_scale=24.0,
            norm_bias_scale=64.0 * 81,
        ),
        averaging=Averaging(kind="lookahead"),
        recalibration_images=5000,
        schedule=Schedule(kind="one_cycle", warmup_fraction=0.0),
        label_smoothing=0.2,
        crop_padding=2,
        stem_epochs=3,
        validation_fraction=0.0,
        choose="last",
        views="six",
    )


def he2015() -> Recipe:
    """He et al. 2015, §4.2: the CIFAR-10 protocol, 64,000 steps of 128 images.

    SGD 0.1 with momentum 0.9, divided by 10 at 32,000 and 48,000 steps, weight decay 1e-4 on everything,
    per-pixel mean, pad 4 with zeros, crop, flip. Trains on all training images; the last epoch is the
    result, never the best one. (resnet110 warms up at 0.01 for about 400 steps:
    ``--set schedule.warmup_fraction=0.006``.) Pixels are also divided by their channel's standard deviation,
    which the batch norm after the first convolution cancels.
    """
    return Recipe(
        name="he2015",
        epochs=164,
        batch_size=128,
        optimizer=Optimizer(learning_rate=0.1, nesterov=False, weight_decay=1e-4, decay_norm_and_bias=True),
        schedule=Schedule(kind="step", warmup_fraction=0.0, milestones=(0.5, 0.75)),
        crop_padding=4,
        flip="random",
        padding="zero",
        per_pixel_mean=True,
        validation_fraction=0.0,
        choose="last",
    )


def textbook() -> Recipe:
    """The textbook's loop: plain SGD 0.05, batch 256, 10 epochs, no augmentation, no decay.

    Holds out no validation part; the last epoch is the result.
    """
    return Recipe(
        name="textbook",
        epochs=10,
        batch_size=256,
        optimizer=Optimizer(learning_rate=0.05, momentum=0.0, nesterov=False, weight_decay=0.0),
        schedule=Schedule(kind="constant", warmup_fraction=0.0),
        crop_padding=0,
        flip="none",
        validation_fraction=0.0,
        choose="last",
    )


RECIPES: dict[str, Callable[[], Recipe]] = {
    "default": default,
    "transfer": transfer,
    "fast": fast,
    "he2015": he2015,
    "textbook": textbook,
}


def recipe(name: str) -> Recipe:
    """Returns a recipe by name.

    Raises:
        BadSetting: If there is none, with the nearest name.
    """
    if name not in RECIPES:
        raise BadSetting(unknown("recipe", name, RECIPES))
    return RECIPES[name]()
