"""Tables on a terminal of 80 columns."""

import io

import pytest
from rich.console import Console
from rich.table import Table
from torch import nn

from residua.networks import catalogue, cost
from residua.networks.foreign import trace
from residua.report.terminal import inspection_table, networks_table, predictions_table


def printed(table: Table, width: int = 80) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width).print(table)
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.fixture(scope="module")
def inspection() -> dict:
    return cost.inspect(catalogue.specification("resnet50"), (3, 224, 224)).to_json()


def test_an_inspection_has_a_line_for_each_stage_and_the_totals(inspection):
    lines = printed(inspection_table(inspection, name="resnet50"))
    assert lines[0] == "resnet50 for images of 3×224×224"
    (stage,) = [line for line in lines if line.startswith("stage 1")]
    row = inspection["stages"][1]
    assert f"{row['parameters']:,}" in stage
    assert "256×56×56" in stage
    (total,) = [line for line in lines if line.startswith("total")]
    assert f"{inspection['parameters']:,}" in total
    assert "depth 50" in total
    assert f"{inspection['receptive_field']}" in total
    assert max(map(len, lines)) <= 80


def test_an_inspection_can_list_every_layer(inspection):
    lines = printed(inspection_table(inspection, name="resnet50", layers=True))
    below = lines[lines.index("stages.2.5") :]
    assert below[1].startswith(" residual.convolution1")
    last = inspection["layers"][-1]
    assert [line.split()[-2:] for line in lines if line.startswith("head")] == [["M", str(last["receptive_field"])]]
    assert max(map(len, lines)) <= 80
    wide = printed(inspection_table(inspection, name="resnet50", layers=True), width=120)
    assert sum("3×3 convolution" in line for line in wide) == 16


def test_what_is_not_known_of_a_foreign_module_is_a_dash():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    lines = printed(inspection_table(trace(layers, (3, 8, 8)).to_json(), name="a", layers=True))
    assert [line.split()[-1] for line in lines if line.startswith(("0 ", "1 "))] == ["–", "–"]
    (total,) = [line for line in lines if line.startswith("total")]
    assert "depth –" in total
    assert total.endswith("–")


def test_a_listing_keeps_names_whole_and_fits_the_terminal():
    rows = [
        {"name": name, "parameters": 1_202_000, "what it is": catalogue.summary(name)} for name in catalogue.names()
    ]
    lines = printed(networks_table(rows))
    assert all(any(line.startswith(f"{name} ") for line in lines) for name in catalogue.names())
    assert max(map(len, lines)) <= 80


def test_a_listing_writes_numbers_by_their_meaning_and_leaves_out_what_is_unknown():
    rows = [{"name": "a", "parameters": 1_202_000, "multiply_adds": 1_814_073_344, "image": (3, 32, 32)}, {"name": "b"}]
    lines = printed(networks_table(rows))
    assert any({"a", "1,202,000", "1.81", "G", "3×32×32"} <= set(line.split()) for line in lines)
    assert "b" in lines


def test_predictions_name_the_most_probable_classes_in_order():
    rows = [{"file": "cat[red].png", "probabilities": [0.1, 0.7, 0.2]}]
    lines = printed(predictions_table(rows, classes=("ant", "[b]bee", "wasp"), best=2))
    (line,) = [line for line in lines if line.startswith("cat")]
    assert line.split() == ["cat[red].png", "[b]bee", "70.0", "%", "wasp", "20.0", "%"]


def test_one_class_needs_no_further_column():
    lines = printed(predictions_table([{"file": "a", "probabilities": [1.0]}], classes=("ant",)))
    assert not any("else" in line for line in lines)
