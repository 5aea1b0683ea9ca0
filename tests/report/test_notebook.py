"""Fragments for notebooks."""

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from residua.errors import BadRun
from residua.networks import catalogue, cost
from residua.report import notebook
from residua.report.terminal import ProgressObserver
from residua.training.observers import RunStarted, StepEnded


class Handle:
    def __init__(self) -> None:
        self.drawn: list[str] = []

    def update(self, content: dict[str, str], *, raw: bool) -> None:
        self.drawn.append(content["text/html"])


@pytest.fixture
def shown(monkeypatch) -> tuple[list[str], Handle]:
    """Stands in for IPython's kernel; gives what is displayed and the handle of the moving bar."""
    lines: list[str] = []
    handle = Handle()

    def display(content: dict[str, str], *, raw: bool, display_id: bool | None) -> Handle | None:
        (handle.drawn if display_id else lines).append(content["text/html"])
        return handle if display_id else None

    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    return lines, handle


def test_a_program_is_no_notebook():
    assert not notebook.in_notebook()


def test_a_terminal_with_ipython_is_no_notebook(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace()))
    assert not notebook.in_notebook()


def test_in_a_notebook_one_cell_moves_and_is_emptied(shown, capsys):
    lines, handle = shown
    observer = ProgressObserver(Console())
    observer.run_started(
        RunStarted(
            run="a",
            headline="<b>resnet8</b>",
            notes=(),
            epochs=2,
            steps_per_epoch=4,
            first_epoch=1,
            steps_done=0,
            network=(network := torch.nn.Linear(1, 1)),
            optimizer=torch.optim.SGD(network.parameters()),
        )
    )
    observer.step_ended(StepEnded(epoch=1, step=2, images=10, loss=1.0, accuracy=0.5))
    observer.run_stopped()
    assert "&lt;b&gt;resnet8" in lines[0]
    assert 'value="0.2500"' in handle.drawn[1]
    assert "epoch 1/2 · loss 1.000" in handle.drawn[1]
    assert handle.drawn[-1] == ""
    assert capsys.readouterr().out == ""


def test_the_bar_is_not_redrawn_at_every_step(shown, monkeypatch):
    _, handle = shown
    now: Any = SimpleNamespace(time=100.0)
    monkeypatch.setattr("time.monotonic", lambda: now.time)
    cell = notebook.Cell()
    cell.start(100, 0)
    for step in range(50):
        now.time += 0.01
        cell.update(step, "", "")
    assert 2 <= len(handle.drawn) - 1 <= 3


def test_the_card_of_a_run_has_its_headline_cautions_and_curves(make_run):
    run = make_run(headline={"optimistic": True})
    card = notebook.run_html(run)
    assert "it is optimistic" in card
    assert "on 360 test images" in card
    assert card.count("<svg") == 2
    assert "<html" not in card


def test_two_cards_share_no_identifier(make_run, tmp_path):
    run = make_run()
    twin = run.rename(tmp_path / "twin")
    first, second = notebook.run_html(twin), notebook.run_html(make_run())
    used = [set(re.findall(r'\bid="([^"]+)"', card)) for card in (first, second)]
    assert used[0]
    assert not used[0] & used[1]


def test_the_card_of_no_run_says_what_is_missing(tmp_path):
    with pytest.raises(BadRun, match="run.json is missing"):
        notebook.run_html(tmp_path)


def test_the_table_of_a_network_has_its_stages_and_totals():
    inspection = cost.inspect(catalogue.specification("resnet20"), (3, 32, 32)).to_json()
    table = notebook.inspection_html(inspection, name="<resnet20>")
    assert "&lt;resnet20&gt; for images of 3×32×32" in table
    assert all(f">{stage['parameters']:,}<" in table for stage in inspection["stages"])
    assert f"{inspection['parameters']:,} parameters" in table
