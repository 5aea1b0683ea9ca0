"""Turns frozen configuration dataclasses into JSON and back, and changes single fields by name.

A configuration is a frozen, keyword-only dataclass whose fields are ``bool``, ``int``, ``float``,
``str``, ``Literal``, tuples of these, ``None`` where absence means something, or further configurations.
"""

import dataclasses
import json
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from residua.errors import BadSetting, unknown

Configuration = TypeVar("Configuration")

_OTHER_WORDS = {
    "lr": "learning_rate",
    "wd": "weight_decay",
    "bs": "batch_size",
    "grad_accum": "micro_batches",
    "accumulation_steps": "micro_batches",
    "clip_grad": "gradient_clip_norm",
    "grad_clip": "gradient_clip_norm",
    "drop_path": "last_survival",
    "stochastic_depth": "last_survival",
    "amp": "precision",
    "random_erasing": "erase",
    "smoothing": "label_smoothing",
    "precise_bn": "recalibration_images",
}
"""What settings are called elsewhere."""


def to_json(configuration: Any) -> dict[str, Any]:
    """Returns the configuration as a dictionary that JSON can hold; tuples become lists."""
    return json.loads(json.dumps(dataclasses.asdict(configuration), default=str))


def from_json(cls: type[Configuration], values: Mapping[str, Any], where: str = "") -> Configuration:
    """Builds ``cls`` from a dictionary; every value is checked against its field's type.

    Args:
        cls: The configuration's class.
        values: What `to_json` gave, or a part of it: missing fields keep their defaults.
        where: The dotted name of this configuration inside another, for messages.

    Raises:
        BadSetting: If a key is unknown or a value does not fit its field.
        KeyError: If a field without a default is missing, or what ``values`` raises for that.
    """
    hints = get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise BadSetting(_unknown_setting(key, known, where))
    open_ = (dataclasses.MISSING, dataclasses.MISSING)
    required = {field.name for field in dataclasses.fields(cls) if (field.default, field.default_factory) == open_}  # type: ignore[arg-type]
    given = [key for key in known if key in values or key in required]
    return cls(**{key: _fit(hints[key], values[key], f"{where}{key}") for key in given})


def with_settings(configuration: Configuration, settings: Iterable[str], where: str = "") -> Configuration:
    """Returns a copy with single fields changed, each setting being ``dotted.name=value``.

    Args:
        configuration: Is not changed.
        settings: May say a name twice only with the same value.
        where: What stands before the names on the command line, such as ``network.``, for messages.

    Example:
        >>> with_settings(recipe, ["optimizer.learning_rate=0.1"]).optimizer.learning_rate
        0.1

    Raises:
        BadSetting: If a setting has no ``=``, names no field, contradicts another, or its value does not fit.
    """
    values, known = to_json(configuration), setting_names(configuration)
    for name, text in _once_each(settings, where).items():
        if name not in known:
            raise BadSetting(_unknown_setting(name, known, where))
        _place(values, name.split("."), _parse(text))
    return from_json(type(configuration), values, where)


def setting_names(configuration: Any, where: str = "") -> list[str]:
    """Lists the dotted names that ``--set`` takes for this configuration."""
    names = []
    for field in dataclasses.fields(configuration):
        value = getattr(configuration, field.name)
        nested = dataclasses.is_dataclass(value)
        names += setting_names(value, f"{where}{field.name}.") if nested else [f"{where}{field.name}"]
    return names


def check_choices(configuration: Any) -> None:
    """Checks every ``Literal`` field of a configuration that was made in Python.

    Raises:
        BadSetting: If a value is none of its field's choices, with the nearest one.
    """
    for name, hint in get_type_hints(type(configuration)).items():
        if get_origin(hint) is Literal and getattr(configuration, name) not in get_args(hint):
            raise BadSetting(unknown(name, str(getattr(configuration, name)), map(str, get_args(hint))))


def check(condition: bool, name: str, value: Any, allowed: str) -> None:
    """Raises `BadSetting` saying that ``name`` takes ``allowed`` unless ``condition`` holds."""
    if not condition:
        raise BadSetting(f"{name} is {value!r}; allowed: {allowed}")


def check_unicode(name: str, path: str) -> None:
    """Raises `BadSetting` for a path that could be written into no file of a run: bytes that are no UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadSetting(f"{name} is {path!a}, a name that is no UTF-8; rename it") from None


def _once_each(settings: Iterable[str], where: str) -> dict[str, str]:
    """Returns the text of each name.

    Raises:
        BadSetting: If a setting has no ``=``, or a name has two values.
    """
    texts: dict[str, str] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise BadSetting(f"--set takes name=value, got {setting!r}; for example --set optimizer.learning_rate=0.1")
        if texts.setdefault(name, text) != text:
            raise BadSetting(f"{where}{name} is set to {texts[name]} and to {text}; give one of them")
    return texts


def _unknown_setting(name: str, known: list[str], where: str) -> str:
    inside = [f"{where}{one}" for one in known if one.startswith(f"{name}.")]
    if inside:
        return f"{where}{name} is a group; its settings: {', '.join(inside)}"
    last = name.rpartition(".")[2]
    meant = [one for one in known if one.rpartition(".")[2] == _OTHER_WORDS.get(last, last)]
    if meant:
        return f"{where + name!r} is no setting; did you mean {' or '.join(repr(where + one) for one in meant)}?"
    return unknown("setting", f"{where}{name}", [f"{where}{one}" for one in known])


def _place(values: dict[str, Any], path: list[str], value: Any) -> None:
    for key in path[:-1]:
        values = values[key]
    values[path[-1]] = value


def _parse(text: str) -> Any:
    if text.lower() in ("none", "null"):
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if "," in text and not text.startswith("["):
        return [_parse(part.strip()) for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # no JSON, or a number or a list longer than Python reads
        return text


def _fit(hint: Any, value: Any, name: str) -> Any:
    """Returns ``value`` as the type ``hint``, or raises `BadSetting`; ``none`` stays a word in fields of words."""
    origin, choices = get_origin(hint), get_args(hint)
    if value is None and (hint is str or "none" in choices):
        return "none"
    if origin is Literal:
        if value not in choices:
            raise BadSetting(f"{name}: {unknown('choice', str(value), map(str, choices))}")
        return value
    if origin in (Union, types.UnionType):
        return _fit_any(choices, value, name)
    if origin is tuple:
        return _fit_tuple(choices, value, name)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(hint, value, f"{name}.")  # type: ignore[arg-type]
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _finite(value, name)
    if hint is type(None) and value is None:
        return None
    plain = hint in (int, float, str, bool) and type(value) is hint
    if plain or (hint is str and not isinstance(value, (dict, list, type(None)))):
        return value if plain else str(value)
    if hint is Any:
        return value
    raise BadSetting(f"{name} takes {_named(hint)}, got {value!r}")


def _finite(value: int | float, name: str) -> float:
    if not abs(value) <= sys.float_info.max:  # holds for NaN, infinity, and whole numbers beyond
        raise BadSetting(f"{name} takes a finite number, got {value!r}")
    return float(value)


def _fit_any(choices: tuple[Any, ...], value: Any, name: str) -> Any:
    if value is None and type(None) in choices:
        return None
    for choice in choices:
        try:
            return _fit(choice, value, name)
        except BadSetting:
            continue
    raise BadSetting(f"{name} takes {' or '.join(map(_named, choices))}, got {value!r}")


def _fit_tuple(choices: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    if choices[-1] is Ellipsis:
        return tuple(_fit(choices[0], item, name) for item in items)
    if len(items) != len(choices):
        raise BadSetting(f"{name} takes {len(choices)} values, got {value!r}")
    return tuple(_fit(choice, item, name) for choice, item in zip(choices, items, strict=True))


def _named(hint: Any) -> str:
    names = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        type(None): "none",
    }
    if get_origin(hint) is Literal:
        return " or ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return "a list such as 1,2,3"
    return names.get(hint, str(hint))
