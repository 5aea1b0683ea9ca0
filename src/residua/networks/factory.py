"""Networks that a user's own file makes: ``path.py:name`` is a function there that returns one.

The file is run as Python code with all that a program may do, as ``python path.py`` would; its folder is importable
meanwhile.
"""

import contextlib
import hashlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from residua import files
from residua.errors import BadSetting, unknown
from residua.networks.spec import NetworkSpec


def is_factory(text: str) -> bool:
    """Says whether ``text`` names a Python file, with a function or without, and so no network by its own name."""
    return re.search(r"\.py(:|$)", text) is not None


def from_file(factory: str) -> NetworkSpec | nn.Module:
    """Returns what the function ``name`` of ``path.py:name`` makes, called without arguments.

    Raises:
        BadSetting: If there is no such file or function, if either fails, or if what it returns is no network; each
            in one line with the next step.
    """
    place, colon, name = factory.rpartition(":")
    if not colon or not name.isidentifier():
        raise BadSetting(f"{factory!r} names no function; give path.py:name, such as {place or factory}:network")
    path = files.expanded(place)
    if not path.is_file():
        raise BadSetting(f"there is no file {place}, which {factory!r} names; check the path")
    with _importable(path.resolve().parent):
        module = _module(path)
        made = _called(_function(module, name, path), name, path)
    if not isinstance(made, NetworkSpec | nn.Module):
        kind = type(made).__name__
        raise BadSetting(f"{name} in {path} returned {_an(kind)}; it has to return a NetworkSpec or an nn.Module")
    return made


def from_file_named(path: Path, name: str) -> Any:
    """Returns what a user's file calls ``name``; the file is run as code.

    Raises:
        BadSetting: If there is no such file or name, or if the file fails; each in one line with the next step.
    """
    path = files.expanded(path)
    if not path.is_file():
        raise BadSetting(f"there is no file {path}; check the path")
    with _importable(path.resolve().parent):
        module = _module(path)
    if not hasattr(module, name):
        raise BadSetting(f"{path} defines no {name}; write `{name} = …` in it")
    return getattr(module, name)


def _module(path: Path) -> ModuleType:
    """Runs the file anew and returns its module, which stays known so that its classes can look themselves up."""
    name = f"{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadSetting(f"{path} cannot be loaded as Python; give a file whose name ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise BadSetting(f"{path} cannot be run: {_said(error, path)}; mend it") from error
    return module


def _function(module: ModuleType, name: str, path: Path) -> Callable[[], Any]:
    if not hasattr(module, name):
        own = [known for known, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
        if not own:
            raise BadSetting(f"{path} defines no function; write `def {name}(): return …` in it")
        raise BadSetting(f"{path}: {unknown('function of it', name, own)}")
    found = getattr(module, name)
    if isinstance(found, nn.Module) or not callable(found):
        kind = type(found).__name__
        raise BadSetting(f"{name} in {path} is {_an(kind)}, no function; write `def make_{name}(): return {name}`")
    return found


def _called(function: Callable[[], Any], name: str, path: Path) -> Any:
    with contextlib.suppress(TypeError, ValueError):  # some callables have no signature
        parameters = inspect.signature(function).parameters.values()
        wanting = [one.name for one in parameters if one.default is one.empty and not str(one).startswith("*")]
        if wanting:
            raise BadSetting(f"{name} in {path} wants {', '.join(wanting)}, and is called without; give defaults")
    try:
        return function()
    except (Exception, SystemExit) as error:
        raise BadSetting(f"{name} in {path} failed: {_said(error, path)}; mend it") from error


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Lets a file import its neighbours, as a program may."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))


def _said(error: BaseException, path: Path) -> str:
    """Returns an error in one line, with the last line of the user's file that it came through."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    own, frames = path.resolve(), traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == own]
    where = f"line {lines[-1]}: " if lines else ""
    message = next(iter(str(error).splitlines()), "")
    return f"{where}{type(error).__name__}{': ' if message else ''}{message}"


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOUaeiou' else 'a'} {kind}"
