"""Prints how many known faults the rules of a diagnosis find, name rightly, and see where there is none.

    .venv/bin/python benchmarks/faults.py [--each 16] [--healthy 80] [--kept FOLDER]

Networks come from `faulty_networks`. Those of even numbers are for choosing thresholds; the table that is published is
of the odd ones, which no threshold has seen. Each network is measured once and kept, so that a run that was stopped
goes on where it was, and changed rules are judged again without measuring.

* found: some finding is at least a warning;
* named: the first finding is of a rule that belongs to the fault;
* false: a healthy network has a finding that is serious, or one that is at least a warning.
"""

import argparse
import json
import pickle
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from faulty_networks import FAULTS, make

from residua.diagnostics.case import opened
from residua.diagnostics.diagnosis import diagnose
from residua.diagnostics.result import Diagnosis
from residua.diagnostics.rules import judge


def diagnosed(fault: str, number: int) -> tuple[str, Diagnosis]:
    """Measures what the rules read of a batch and of short trainings."""
    made = make(fault, number)
    case = opened(made.module, made.inputs, made.labels, optimizer=made.optimizer, name=f"{fault} {number}")
    return str(made.plan), diagnose(case, only=("gradients", "signals", "first_step", "questions"))


def kept(folder: Path, fault: str, number: int) -> tuple[str, Diagnosis]:
    """Returns a network's diagnosis, measured now or before."""
    path = folder / f"{fault} {number}.pickle"
    if path.exists():
        return pickle.loads(path.read_bytes())
    began = time.perf_counter()
    found = diagnosed(fault, number)
    part = path.with_suffix(".part")
    part.write_bytes(pickle.dumps(found))
    part.rename(path)
    print(f"{fault} {number}: {found[0]}, {time.perf_counter() - began:.1f} s", flush=True)
    return found


def row_of(fault: str, number: int, plan: str, diagnosis: Diagnosis) -> dict[str, Any]:
    """Returns what the rules say of a network, and whether it is so."""
    findings = judge(replace(diagnosis, findings=()))
    bad = [one for one in findings if one.severity != "note"]
    return {
        "fault": fault,
        "number": number,
        "network": plan,
        "found": bool(bad),
        "named": bool(bad) and bad[0].rule in FAULTS[fault][1],
        "serious": any(one.severity == "serious" for one in findings),
        "findings": [f"{one.severity}: {one.says}" for one in findings],
    }


def share(rows: Sequence[dict[str, Any]], key: str) -> float:
    return sum(row[key] for row in rows) / len(rows)


def table(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the shares by fault, over all faults, and of false alarms."""
    faulty = [row for row in rows if row["fault"] != "healthy"]
    healthy = [row for row in rows if row["fault"] == "healthy"]
    by_fault = {name: [row for row in faulty if row["fault"] == name] for name in FAULTS if name != "healthy"}
    return {
        "networks": len(rows),
        "faulty": len(faulty),
        "healthy": len(healthy),
        "recall": share(faulty, "found"),
        "named": share(faulty, "named"),
        "false_serious": share(healthy, "serious"),
        "false_warning_or_serious": share(healthy, "found"),
        "by_fault": {
            name: {"n": len(some), "recall": share(some, "found"), "named": share(some, "named")}
            for name, some in by_fault.items()
        },
    }


def wrong(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the misses: faults not named first, healthy networks with a finding."""
    return [row for row in rows if (row["found"] if row["fault"] == "healthy" else not row["named"])]


def tell(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: {found['faulty']} faulty and {found['healthy']} healthy networks")
    print(f"recall {found['recall']:.3f}, named {found['named']:.3f}, false serious {found['false_serious']:.3f}, ")
    print(f"false warning or serious {found['false_warning_or_serious']:.3f}")
    for fault, numbers in found["by_fault"].items():
        print(f"  {fault}: recall {numbers['recall']:.2f}, named {numbers['named']:.2f}, n = {numbers['n']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=16, help="networks of each fault, both halves together")
    parser.add_argument("--healthy", type=int, default=80)
    parser.add_argument("--kept", type=Path, default=Path("runs/faults"))
    parser.add_argument("--half", choices=("thresholds", "table", "both"), default="both")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.kept.mkdir(parents=True, exist_ok=True)
    numbers = {fault: range(asked.healthy if fault == "healthy" else asked.each) for fault in FAULTS}
    chosen = {"thresholds": (0,), "table": (1,), "both": (0, 1)}[asked.half]
    rows = [
        row_of(fault, number, *kept(asked.kept, fault, number))
        for number in range(max(asked.each, asked.healthy))
        for fault in FAULTS
        if number in numbers[fault] and number % 2 in chosen
    ]
    halves = {
        "thresholds": [row for row in rows if row["number"] % 2 == 0],
        "table": [row for row in rows if row["number"] % 2],
    }
    tables = {name: table(some) for name, some in halves.items() if some}
    for name, found in tables.items():
        tell(name, found)
        for row in wrong(halves[name]):
            print(f"    {row['fault']} {row['number']}, {row['network']}: {'; '.join(row['findings']) or 'nothing'}")
    if asked.half == "both":
        published(rows, tables, wrong(halves["table"]))


def published(rows: Sequence[dict[str, Any]], tables: dict[str, Any], misses: Sequence[dict[str, Any]]) -> None:
    from results import ROOT, write

    lines = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (ROOT / "docs" / "results" / "faults.jsonl").write_text(lines, encoding="utf-8")
    write("faults", "python benchmarks/faults.py", {**tables, "misses": list(misses)})


if __name__ == "__main__":
    main()
