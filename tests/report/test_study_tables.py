"""The tables beside a study, read back by what reads such files."""

import csv
import json
import re
from math import inf

import pytest
from tests.report.studied import ARMS, CLAIMS, results

from residua.report.study_tables import (
    FORMATS,
    Table,
    arms_table,
    as_csv,
    as_json,
    as_latex,
    as_markdown,
    claims_table,
    latex,
    write_tables,
)
from residua.studies.statistics import estimate

AWKWARD = Table("awkward", ("name & co", "value"), (('a "b", c|d\n\\e_f', 1.5), ("100 %", inf), ("{x}^~#$", None)))


def test_csv_gives_every_number_back_to_the_bit():
    found = results()
    rows = list(csv.DictReader(as_csv(arms_table(found)).splitlines()))
    assert len(rows) == len(ARMS) * 3
    row = next(row for row in rows if (row["arm"], row["quantity"]) == ("plain-56", "train_loss"))
    values = [numbers["train_loss"] for numbers in found.numbers["plain-56"].values()]
    expected = estimate(values)
    assert [float(seed) for seed in row["seeds"].split()] == values
    assert [float(row[name]) for name in ("mean", "low", "high")] == [expected.mean, expected.low, expected.high]


def test_csv_quotes_what_would_break_a_row():
    rows = list(csv.reader(as_csv(AWKWARD).splitlines(keepends=True)))
    assert rows[0] == list(AWKWARD.columns)
    assert rows[1] == ['a "b", c|d\n\\e_f', "1.5"]
    assert rows[3] == ["{x}^~#$", ""]


def test_json_has_a_row_for_every_claim_with_its_verdict():
    found = results()
    rows = json.loads(as_json(claims_table([found])))
    assert [row["claim"] for row in rows] == [claim.name for claim in CLAIMS]
    verdicts = [verdict.answer for verdict in found.verdicts]
    assert [row["verdict"] for row in rows] == verdicts
    assert set(verdicts) == {"supported", "contradicted", "inconclusive", "not run"}
    assert rows[0]["effect"] == found.verdicts[0].effect
    assert rows[4]["needs"] == "laptop"


def test_json_names_what_is_not_finite():
    assert json.loads(as_json(AWKWARD))[1]["value"] == "inf"


def test_markdown_has_as_many_cells_in_every_row():
    lines = as_markdown(AWKWARD).splitlines()
    assert len(lines) == 5
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
    assert lines[1] == "| --- | ---: |"
    assert 'a "b", c\\|d \\e_f' in lines[2]
    assert lines[3] == "| 100 % | ∞ |"


def test_latex_is_a_booktabs_tabular_with_as_many_cells_as_columns():
    text = as_latex(claims_table([results()]))
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    rows = body.splitlines()
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)
    assert columns is not None
    assert len(rows) == len(CLAIMS)
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(columns[1])}
    assert all(row.endswith(r" \\") for row in rows)
    assert [text.count(rule) for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}")] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b & 5 % of $x", r"a\_b \& 5 \% of \$x"),
        ("{#}", r"\{\#\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("−1 ± 2", "$-$1 $\\pm$ 2"),
        ("a < b", r"a \textless{} b"),
    ],
)
def test_what_means_something_to_latex_is_escaped_once(text, expected):
    assert latex(text) == expected


def test_every_format_is_written_for_every_table(tmp_path):
    written = write_tables(tmp_path, {"one": AWKWARD, "two": AWKWARD})
    assert {path.name for path in written} == {f"{name}.{suffix}" for name in ("one", "two") for suffix in FORMATS}
    assert (tmp_path / "one.tex").read_text(encoding="utf-8") == as_latex(AWKWARD)


def test_a_quantity_that_a_seed_lacks_counts_the_others():
    found = results(seeds=1)
    row = next(row for row in arms_table(found).rows if row[1] == "plain-20")
    assert row[4:7] == (None, None, 1)


def test_chinese_columns_of_claims_say_the_claim_in_chinese():
    (first, *_) = json.loads(as_json(claims_table([results()], "zh")))
    assert first["says"] == CLAIMS[0].says.zh
