"""The command line as a user meets it: what it prints and its exit codes."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import torch
from tests.commands import residua

from residua import verbs
from residua.cli import main

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits of six epochs, in a folder of its own."""
    folder = tmp_path_factory.mktemp("work")
    done = residua("train", "--network", "resnet8", "--epochs", "6", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "report: runs/digits-resnet8-1/report.html" in done.stdout
    return folder / "runs" / "digits-resnet8-1"


def test_train_says_what_it_does_in_plain_lines_where_nobody_watches(run: Path):
    done = residua("train", "--network", "resnet8", "--epochs", "1", cwd=run.parents[1])
    assert "resnet8 (" in done.stdout
    assert "epoch 1/1" in done.stdout
    assert "\x1b" not in done.stdout
    shutil.rmtree(run.parents[1] / "runs" / "digits-resnet8-2")


def test_a_run_has_its_report_and_its_figures(run: Path):
    assert "<html" in (run / "report.html").read_text(encoding="utf-8")
    assert list((run / "figures").glob("*.svg"))
    assert list((run / "figures").glob("*.png"))


def test_predict_answers_files_and_folders(run: Path):
    done = residua("predict", "last", str(ROOT / "examples" / "digits"), "--top", "3", cwd=run.parents[1])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(re.search(r"a-\d\.png: (\d \d+\.\d%(, )?){3}$", line) for line in lines)


def test_predict_reads_a_list_and_reports_a_bad_image_with_exit_code_1(run: Path, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    names = [str(ROOT / "examples" / "digits" / "a-3.png"), str(tmp_path / "broken.png")]
    done = residua("predict", str(run), "-", "--json", input="\n".join(names))
    assert done.returncode == 1
    answered, failed = map(json.loads, done.stdout.splitlines())
    assert answered["file"] == names[0]
    assert 0 < answered["predictions"][0]["probability"] <= 1
    assert "broken.png" in failed["error"]


def test_evaluate_agrees_with_the_run_and_is_counted(run: Path):
    before = json.loads((run / "result.json").read_text())["parts"]["test"]
    done = residua("evaluate", str(run), "--json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert (numbers["part"], numbers["accuracy"]) == ("test", before["accuracy"])
    after = json.loads((run / "result.json").read_text())["parts"]["test"]
    assert after["evaluations"] == before["evaluations"] + 1
    assert len((run / "evaluations.jsonl").read_text().splitlines()) == 1


def test_evaluate_matches_the_classes_of_another_source_by_name(run: Path, tmp_path: Path):
    """A folder with classes 3 and 8 alone, whose positions there are 0 and 1."""
    for digit in ("3", "8"):
        (tmp_path / "some" / digit).mkdir(parents=True)
        shutil.copy(ROOT / "examples" / "digits" / f"a-{digit}.png", tmp_path / "some" / digit / "a.png")
    numbers = verbs.evaluate(run, tmp_path / "some")
    rows = {row["class"]: row["images"] for row in numbers["per_class"]}
    assert {name for name, images in rows.items() if images} == {"3", "8"}
    predicted = [verbs.predict(run, ROOT / "examples" / "digits" / f"a-{digit}.png").label for digit in "38"]
    assert numbers["accuracy"] == sum(p == d for p, d in zip(predicted, "38", strict=True)) / 2


def test_a_class_that_the_network_does_not_know_is_named(run: Path, coloured_folder: Path):
    done = residua("evaluate", str(run), str(coloured_folder))
    assert done.returncode == 2
    assert "no class of this network" in done.stderr


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path):
    command = [sys.executable, "-u", "-m", "residua", "train", "--network", "resnet8", "--epochs", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stderr
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "residua train --resume runs/digits-resnet8-1" in errors
    done = residua("predict", "last", str(ROOT / "examples" / "digits"), cwd=tmp_path)
    assert done.returncode == 2
    assert "is stopped, not finished" in done.stderr
    for option, value, said in (
        ("--seed", "3", "seed is 3 here and 0 in"),
        ("--recipe", "he2015", "recipe is 'he2015' here and 'default' in"),
        ("--set", "label_smoothing=0", "settings is"),
        ("--epochs", "5", "--epochs is 5 here and 500 in"),
    ):
        done = residua("train", "--resume", "last", option, value, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert said in done.stderr


def test_sigterm_saves_and_exits_143(tmp_path: Path):
    command = [sys.executable, "-u", "-m", "residua", "train", "--network", "resnet8", "--epochs", "500"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch"):
            break
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "residua train --resume runs/digits-resnet8-1" in errors


def test_a_run_is_deepened_from_the_command_line(run: Path):
    """The new run begins with the old one's answers: the same validation numbers before its first step."""
    done = residua(
        *("train", "--deepen", str(run), "--stage", "2", "--blocks", "3", "--epochs", "1", "--recipe", "default"),
        cwd=run.parents[1],
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    chosen = json.loads((run / "result.json").read_text())["chosen"]["epoch"]
    assert f"validation loss {rows[chosen - 1]['validation_loss']:.3f}" in done.stdout
    assert "resnet8-deepened" in done.stdout
    spec = json.loads((run.parent / "digits-resnet8-deepened-1" / "specification.json").read_text())
    assert spec["blocks"] == [1, 4, 1]


def test_find_learning_rate_prints_the_rate_and_the_command_and_makes_no_run(tmp_path: Path):
    done = residua(
        *("train", "digits", "--network", "resnet8", "--find-learning-rate", "--seed", "3", "--epochs", "2"),
        *("--set", "optimizer.learning_rate=0.01"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    line, plot, command = done.stdout.splitlines()[-3:]
    found = re.fullmatch(r"suggested learning rate (\S+); the recipe’s is 0\.010", line)
    assert found, line
    assert plot == "plot: runs/digits-resnet8-learning-rate.html"
    rate = command.rpartition("=")[2]
    asked = "residua train digits --network resnet8 --epochs 2 --seed 3"
    assert command == f"train with it: {asked} --set optimizer.learning_rate={rate}"
    assert float(rate) == float(found[1])
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-resnet8-learning-rate.html"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean 'train'"),
        (["train", "digist"], "digits"),
        (["train", "--network", "resnet19"], "did you mean"),
        (["train", "--epochs", "0"], "--epochs is 0"),
        (["train", "--set", "optimizer.learning_rat=1"], "optimizer.learning_rate"),
        (["train", "--network", "resnet34"], "residua train digits --network resnet20"),
        (["train", "--resume", "last", "--minutes", "3"], "leave out --minutes"),
        (["train", "--resume", "nowhere"], "nowhere is no run"),
        (["train", "--deepen", "last"], "--stage 2 --blocks 3"),
        (["train", "--stage", "2"], "--deepen RUN"),
        (["train", "--deepen", "last", "--stage", "1", "--network", "resnet8"], "leave out --network"),
        (["train", "--weights", "torchvison"], "torchvison is no run"),
        (["train", "--weights", "torchvison:IMAGENET1K_V1"], "did you mean 'torchvision'"),
        (["predict", "last", "image.png"], "there is no run in"),
        (["inspect", "resnet20", "--input", "32"], "such as 3x32x32"),
        (["inspect", "resnet18", "--input", "3x16x16"], "shrink to nothing"),
        (["networks", "plain19"], "did you mean"),
        (["download", "cifar"], "did you mean 'cifar10'"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(arguments: list[str], message: str, tmp_path: Path):
    done = residua(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Whichever command meets it, where it has no better answer of its own."""

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "page.html")

    monkeypatch.setattr("residua.cli.cli.main", full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = "error: page.html: No space left on device; free space, then run the command again\n"
    assert capsys.readouterr().err == said


def test_inspect_gives_the_published_numbers():
    done = residua("inspect", "resnet20", "--input", "3x32x32", "--json")
    found = json.loads(done.stdout)
    assert (found["parameters"], found["multiply_adds"], found["receptive_field"]) == (269_722, 40_551_040, 81)
    shown = residua("inspect", "resnet20", "--input", "3x32x32", env={**os.environ, "COLUMNS": "80"}).stdout
    assert "269,722" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_networks_lists_every_name():
    names = json.loads(residua("networks", "--json").stdout)
    assert {"resnet50", "plain56", "resnet164-preactivation", "resnet18-textbook"} <= names.keys()
    assert "mended" in residua("networks", "resnet34-no-norm").stdout.lower()


def test_the_run_in_python_is_the_run_on_the_disk(run: Path):
    opened = verbs.load(run)
    assert opened.metrics["accuracy"] == json.loads((run / "result.json").read_text())["headline"]["accuracy"]
    assert opened.report == run / "report.html"
    assert len(opened.history) == 6
    assert "accuracy" in repr(opened)
    assert opened._repr_html_().lstrip().startswith("<")
    assert opened.network()(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_train_and_predict_from_python():
    import residua as library

    made = library.train("digits", network="resnet8", epochs=1, seed=3)
    assert made.path == Path("runs/digits-resnet8-1")
    assert made.metrics["images"] > 300
    assert made.predict(ROOT / "examples" / "digits" / "a-7.png").label in "0123456789"
    module = library.build("resnet50", classes=10, in_channels=3)
    assert sum(p.numel() for p in module.parameters()) == 25_557_032 - 990 * 2049


def test_names_that_are_no_unicode_can_be_printed(monkeypatch: pytest.MonkeyPatch):
    """A file's name may hold bytes that are no UTF-8; who prints many answers does not break off at one of them."""
    out = TextIOWrapper(BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.argv", ["residua", "--version"])
    with pytest.raises(SystemExit):
        main()
    out.write("caf\udce9.png")
    out.flush()
    assert out.buffer.getvalue().endswith(b"caf\\udce9.png")  # type: ignore[attr-defined]
