"""Networks from a user's own file: what it may hold, and one line for all that can be wrong with it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn

from residua.errors import BadSetting
from residua.networks import catalogue
from residua.networks.factory import from_file, is_factory
from residua.networks.network import ResidualNetwork

OWN = """
from dataclasses import dataclass
from torch import nn
import neighbour
from residua.networks import catalogue
from residua.networks.network import build

@dataclass
class Sizes:
    width: "int" = 8

def specification(): return catalogue.specification("resnet20", classes=neighbour.CLASSES)
def module(depth=1): return nn.Sequential(*[nn.Conv2d(3, Sizes().width, 3) for _ in range(depth)])
def built(): return build(catalogue.specification("resnet8"), seed=0)
ready = nn.Identity()
number = 3
def wants(depth, *, width): return nn.Identity()
def text(): return "resnet20"
def fails():
    return 1 / 0
def leaves(): raise SystemExit(3)
def several_lines(): raise ValueError("first\\nsecond")
"""


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "neighbour.py").write_text("CLASSES = 7\n")
    (tmp_path / "own.py").write_text(OWN)
    yield tmp_path / "own.py"
    sys.modules.pop("neighbour", None)


def test_a_specification_a_module_and_a_residual_network_are_taken(own: Path):
    assert from_file(f"{own}:specification") == catalogue.specification("resnet20", classes=7)
    module = from_file(f"{own}:module")
    assert isinstance(module, nn.Sequential)
    assert module[0].out_channels == 8
    assert isinstance(from_file(f"{own}:built"), ResidualNetwork)


def test_a_class_is_a_factory_too(tmp_path: Path):
    (tmp_path / "a.py").write_text("from torch import nn\nclass Net(nn.Flatten): pass\n")
    assert isinstance(from_file(f"{tmp_path / 'a.py'}:Net"), nn.Flatten)


def test_the_file_is_read_anew_and_the_path_left_as_it_was(tmp_path: Path):
    file, before = tmp_path / "a.py", list(sys.path)
    for kernel in (3, 5):
        file.write_text(f"from torch import nn\ndef net(): return nn.Conv2d(1, 1, {kernel}) # {'x' * kernel}\n")
        made = from_file(f"{file}:net")
        assert isinstance(made, nn.Conv2d)
        assert made.kernel_size == (kernel, kernel)
    assert sys.path == before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("specificatoin", "did you mean 'specification'?"),
        ("number", "number in {own} is an int, no function; write `def make_number(): return number`"),
        ("ready", "ready in {own} is an Identity, no function"),
        ("wants", "wants in {own} wants depth, width, and is called without; give defaults"),
        ("text", "text in {own} returned a str; it has to return a NetworkSpec or an nn.Module"),
        ("fails", "fails in {own} failed: line 20: ZeroDivisionError: division by zero; mend it"),
        ("leaves", "leaves in {own} failed: line 21: SystemExit: 3; mend it"),
        ("several_lines", "ValueError: first; mend it"),
        ("", "names no function; give path.py:name"),
        ("a-b", "names no function; give path.py:name"),
    ],
)
def test_what_is_wrong_with_a_function_is_one_line(own: Path, name: str, message: str):
    with pytest.raises(BadSetting) as failure:
        from_file(f"{own}:{name}")
    assert message.format(own=own) in str(failure.value)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def net(:", "cannot be run: line 1:"),
        ("x = 1\nimport no_such_module_anywhere", "line 2: ModuleNotFoundError: No module named"),
        ("x = 1", "defines no function; write `def net(): return …` in it"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(tmp_path: Path, text: str, message: str):
    (tmp_path / "a.py").write_text(text)
    known = set(sys.modules)
    with pytest.raises(BadSetting) as failure:
        from_file(f"{tmp_path / 'a.py'}:net")
    assert message in str(failure.value)
    assert "\n" not in str(failure.value)
    assert text == "x = 1" or not {name for name in sys.modules if name.startswith("a_")} - known


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(BadSetting, match=r"there is no file no/such.py, which 'no/such.py:net' names"):
        from_file("no/such.py:net")


def test_only_python_files_are_taken_for_factories():
    assert is_factory("a/b.py:net")
    assert is_factory("b.py")
    assert not any(map(is_factory, ("resnet20", "runs/a", "runs/a.pyc", "last", "a:b")))
