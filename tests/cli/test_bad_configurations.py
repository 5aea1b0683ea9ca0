"""Every configuration that cannot work fails before training: one line, exit code 2, nothing left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from residua import cli, machine


@pytest.fixture(autouse=True)
def _a_processor_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has_bfloat16", lambda on: False)
    monkeypatch.setenv(machine.ALLOCATOR_VARIABLE, "default")


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command that must be refused, in a folder of its own, and returns the line that it says."""

    def run(*arguments: str) -> str:
        empty = tmp_path / "here"
        empty.mkdir()
        monkeypatch.chdir(empty)
        monkeypatch.setattr(sys, "argv", ["residua", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert ended.value.code == 2, said
        assert "epoch 1" not in said.out
        assert said.err.endswith("\n")
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("error: ")
        assert list(empty.iterdir()) == []
        return said.err

    return run


def settings(*values: str) -> tuple[str, ...]:
    return tuple(part for value in values for part in ("--set", value))


VALUES = [
    ("optimizer.learning_rate=-0.1", "optimizer.learning_rate is -0.1; allowed: above 0"),
    ("optimizer.learning_rate=0", "optimizer.learning_rate is 0.0"),
    ("optimizer.learning_rate=NaN", "optimizer.learning_rate takes a finite number, got nan"),
    ("optimizer.learning_rate=1e999", "optimizer.learning_rate takes a finite number, got inf"),
    ("optimizer.learning_rate=fast", "optimizer.learning_rate takes a number, got 'fast'"),
    ("optimizer.learning_rate=0,1", "takes a number, got [0, 1]"),
    ("optimizer.learning_rate=", "takes a number, got ''"),
    ("optimizer.learning_rat=0.1", "did you mean 'optimizer.learning_rate'"),
    ("optimiser.learning_rate=0.1", "did you mean 'optimizer.learning_rate'"),
    ("optimizer=sgd", "is a group"),
    ("optimizer.kind=sdg", "did you mean 'sgd'"),
    ("optimizer.momentum=1", "optimizer.momentum is 1.0"),
    ("optimizer.momentum=0", "optimizer.nesterov"),
    ("optimizer.weight_decay=-1e-4", "optimizer.weight_decay is -0.0001"),
    ("optimizer.weight_decay=NaN", "finite"),
    ("optimizer.second_moment_decay=1", "optimizer.second_moment_decay is 1.0"),
    ("schedule.kind=linear", "schedule.kind"),
    ("schedule.warmup_fraction=1", "schedule.warmup_fraction is 1.0"),
    ("schedule.final_fraction=2", "schedule.final_fraction is 2.0"),
    ("schedule.milestones=0.5,2", "schedule.milestones"),
    ("schedule.factor=-1", "schedule.factor is -1.0"),
    ("label_smoothing=1", "label_smoothing is 1.0"),
    ("gradient_clip_norm=0", "gradient_clip_norm is 0.0"),
    ("stage_decay=0", "stage_decay is 0.0"),
    ("batch_size=0", "batch_size is 0"),
    ("batch_size=2.5", "batch_size takes a whole number or none"),
    ("batch_size=100000", "batch_size is 100,000, and the training part has 1,302 images; give 1,302 at most"),
    ("epochs=0", "epochs is 0"),
    ("validation_fraction=1", "validation_fraction"),
    ("choose=first", "choose"),
    ("crop_padding=-1", "crop_padding is -1"),
    ("crop_padding=8", "crop_padding is 8"),
    ("flip=sometimes", "flip"),
    ("precision=float16", "float16"),
    ("precision=bfloat16", "bfloat16 is not native on this device"),
    ("precision=float64", "precision"),
    ("checkpoint_seconds=-1", "checkpoint_seconds"),
    ("learning_rate=0.1", "did you mean 'optimizer.learning_rate'"),
    ("optimizer.learning_rate=1" + 5000 * "0", "optimizer.learning_rate takes a number"),
    ("stem_epochs=" + 20_000 * "[", "stem_epochs takes"),
    ("optimizer.learning_rate=1" + 400 * "0", "takes a finite number"),
    ("data.split_sed=1", "did you mean 'data.split_seed'"),
    ("data.test_fraction=1.5", "test_fraction is 1.5"),
    ("data.test_fraction=0.999", "too few"),
    ("data.source=cifar10", "data.source"),
    ("network.shortcut=nothing", "shortcut"),
    ("network.depth=20", "depth"),
    ("network.widths=0,8,8", "widths"),
    ("network.classes=3", "network.classes"),
    ("label_smoothing", "--set takes name=value, got 'label_smoothing'"),
    ("=1", "setting"),
]


@pytest.mark.parametrize(("setting", "said"), VALUES, ids=[setting for setting, _ in VALUES])
def test_a_setting_that_cannot_be_is_refused(refusal, setting: str, said: str):
    assert said in refusal("train", "digits", "--network", "resnet8", "--set", setting)


OPTIONS = [
    (("--epochs", "0"), "--epochs is 0"),
    (("--epochs", "1.5"), "'1.5' is not a valid integer"),
    (("--minutes", "0"), "--minutes is 0"),
    (("--minutes", "nan"), "--minutes is nan"),
    (("--minutes", "inf"), "--minutes is inf"),
    (("--minutes", "1e300"), "--minutes is 1e+300; allowed: above 0, up to a year"),
    (("--epochs", "2", "--minutes", "2"), "give one of them"),
    (("--network", "resnet19"), "did you mean"),
    (("--network", "resnet18"), "--image-size 96"),
    (("--network", "mine.py:make"), "mine.py"),
    (("--recipe", "defualt"), "did you mean 'default'"),
    (("--image-size", "0"), "--image-size is 0"),
    (("--image-size", "1", "--network", "resnet20"), "1×1"),
    (("--fit", "stretch"), "'stretch'"),
    (("--device", "tpu"), "tpu"),
    (("--device", "cuda:9"), "cuda:9 is not on this machine"),
    (("--device", "mps"), "mps"),
    (("--weights", "nowhere.pt"), "nowhere.pt"),
    (("--processes", "1000000"), "1000000 is not in the range"),
    (("--seed", "-1"), "--seed is -1"),
    (("--seed", str(2**63)), "--seed is 9223372036854775808"),
    (("--image-size", "4", "--network", "resnet20", *settings("batch_size=1")), "batch norm needs two numbers"),
    (("--image-size", "1000000"), "GiB are free for them; use --image-size"),
    (("--find-learning-rate", "--out", "a"), "leave out --out"),
    (("--find-learning-rate", "--resume", "last"), "leave out --resume"),
    (("--seed", "one"), "'one' is not a valid integer"),
    (("--stage", "2"), "--deepen RUN"),
    (("--resume", "nowhere"), "nowhere is no run"),
    (("--lerning-rate", "1"), "No such option"),
    (("--epochs",), "requires an argument"),
    (settings("epochs=3", "epochs=4"), "epochs is set to 3 and to 4"),
    (settings("optimizer.learning_rate=1", "recipe.optimizer.learning_rate=2"), "set to 1 and to 2"),
    (settings("network.shortcut=none", "network.shortcut=padded"), "network.shortcut is set to none and to padded"),
    (("--epochs", "3", *settings("epochs=4")), "--epochs is 3 and --set epochs=4"),
    (("--minutes", "3", *settings("epochs=4")), "give one of them"),
    (settings("validation_fraction=0", "choose=best"), "choose is 'best'"),
    (settings("data.validation_fraction=0", "patience=1"), "patience is 1"),
    (settings("validation_fraction=0.3", "data.validation_fraction=0.1"), "is set to 0.3 and to 0.1"),
    (("--image-size", "8", *settings("data.image_size=12")), "--image-size is 8 and --set data.image_size=12"),
    (("--fit", "pad", *settings("data.fit=squash")), "--fit is pad and --set data.fit=squash"),
    (("--network", "resnet8", "--epochs", "1", "--out", "caf\udce9"), "a name that is no UTF-8; rename it"),
    (
        ("--weights", "~nobody-of-that-name/run"),
        "~nobody-of-that-name/run begins with ~ and the name of no user; write it whole",
    ),
    (settings("compile=true", "checkpoint_activations=true"), "false where compile is true"),
]


@pytest.mark.parametrize(("options", "said"), OPTIONS, ids=[" ".join(options) for options, _ in OPTIONS])
def test_options_that_cannot_be_are_refused(refusal, options: tuple[str, ...], said: str):
    assert said in refusal("train", "digits", *options)


def test_a_source_that_is_not_there_is_refused(refusal):
    assert "did you mean 'digits'" in refusal("train", "digist")


def test_a_source_that_no_file_could_name_is_refused(refusal):
    assert "a name that is no UTF-8; rename it" in refusal("train", "caf\udce9")


def test_a_batch_larger_than_the_training_part_is_refused_with_the_largest(refusal):
    said = refusal("train", "digits", "--network", "resnet8", "--set", "batch_size=5000")
    assert "give 1,302 at most" in said


def images(folder: Path, number: int, side: int = 16) -> None:
    folder.mkdir(parents=True)
    for index in range(number):
        Image.new("RGB", (side, side), (index, 2 * index, 3 * index)).save(folder / f"{index}.png")


def test_a_folder_with_one_class_is_refused(refusal, tmp_path: Path):
    images(tmp_path / "set" / "cats", 10)
    assert "cats" in refusal("train", str(tmp_path / "set"))


def test_a_class_with_too_few_images_for_its_parts_is_refused(refusal, tmp_path: Path):
    images(tmp_path / "set" / "cats", 10)
    images(tmp_path / "set" / "dogs", 2)
    assert "class 'dogs' has 2 images, too few" in refusal("train", str(tmp_path / "set"))


def test_an_empty_folder_is_refused(refusal, tmp_path: Path):
    (tmp_path / "set").mkdir()
    assert "set" in refusal("train", str(tmp_path / "set"))


def test_a_group_that_is_no_pattern_is_refused(refusal, tmp_path: Path):
    images(tmp_path / "set" / "cats", 10)
    images(tmp_path / "set" / "dogs", 10)
    assert "no regular expression" in refusal("train", str(tmp_path / "set"), "--group", "(")


def test_a_run_directory_that_is_taken_is_refused_and_left_alone(refusal, tmp_path: Path):
    images(tmp_path / "taken", 1)
    assert "is not empty" in refusal("train", "digits", "--network", "resnet8", "--out", str(tmp_path / "taken"))
    assert len(list((tmp_path / "taken").iterdir())) == 1


def test_a_factory_that_fails_is_refused(refusal, tmp_path: Path):
    (tmp_path / "mine.py").write_text("def make():\n    return 3\n")
    assert "mine.py" in refusal("train", "digits", "--network", f"{tmp_path / 'mine.py'}:make")


def test_a_recipe_keeps_its_name(refusal):
    assert "for another recipe say --recipe mine" in refusal("train", "digits", "--set", "name=mine")


def test_compile_without_a_compiler_is_refused(tmp_path: Path):
    """The trial is a real one, in a process whose torch looks for a compiler that is not there."""
    command = [sys.executable, "-m", "residua", "train", "digits", "--network", "resnet8", "--set", "compile=true"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "CXX": "/nowhere/c++"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "compile is true, and torch.compile does not work here" in done.stderr
    assert "install a C++ compiler" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler here")
@pytest.mark.skipif(" " in torch.__file__, reason="torch links nothing from a folder with a space in its name")
def test_compile_with_a_compiler_is_not_refused():
    code = "from residua import machine; print(repr(machine.why_not_compiled(machine.device('cpu'))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "''\n"


def test_a_command_line_without_its_words_is_helped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["residua", "predict", "last"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert "Missing argument 'IMAGE…'; see `residua predict --help`" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sead", "1"), "No such option"),
        (("--stage", "2"), "--stage and --blocks say where --deepen RUN adds blocks"),
        (("--processes", "3"), "torchrun started 2 processes, --processes says 3; leave it out"),
        (("--find-learning-rate",), "--find-learning-rate takes one process, and torchrun started 2"),
        (("--resume", "nowhere"), "nowhere"),
        (("--deepen", "nowhere", "--stage", "2"), "nowhere"),
    ],
)
def test_what_all_processes_refuse_before_they_meet_is_said_by_rank_0(
    arguments: tuple[str, ...],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["residua", "train", *arguments])
    monkeypatch.setenv("WORLD_SIZE", "2")
    said = []
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2
        said.append(capsys.readouterr().err)
    assert says in said[0]
    assert (said[0].count("\n"), said[1]) == (1, "")
