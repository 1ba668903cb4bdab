"""Keys of a config that are null where their class needs a value; jsonargparse passes them on."""

from __future__ import annotations

import inspect
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from memup_lightning.cli.messages import explain, import_path
from memup_lightning.exceptions import MemUPError


def check_nulls(part: Any, place: str = "") -> None:
    """Refuse a null where a class takes no null.

    Args:
        part: a parsed config, or a part of it.
        place: of the part in the config.

    Raises:
        MemUPError: see above.
    """
    if isinstance(part, list):
        for inner in part:
            check_nulls(inner, place)
    if not isinstance(part, Namespace):
        return
    init_args = part.get("init_args")
    if isinstance(part.get("class_path"), str) and isinstance(init_args, Namespace):
        _check_arguments(part.class_path, init_args, place)
    for key, inner in vars(part).items():
        check_nulls(inner, f"{place}.{key}".lstrip("."))


def _check_arguments(class_path: str, init_args: Namespace, place: str) -> None:
    made = import_path(class_path)
    nulls = [key for key, value in vars(init_args).items() if value is None and _may_need_value(made, key)]
    if not nulls:
        return
    parser = ArgumentParser(exit_on_error=False)  # reads the sources of what gets **kwargs
    parser.add_class_arguments(made, fail_untyped=False)
    defaults = vars(parser.get_defaults())
    for key in nulls:
        if defaults.get(key) is None:
            continue
        null = Namespace(**{key: None})  # type: ignore[no-untyped-call]
        try:
            parser.validate(null, skip_unset=False, skip_required=True)
        except (TypeError, ValueError) as error:
            raise MemUPError(f"{place}.init_args.{explain(str(error), [])}") from error


def _may_need_value(made: Any, key: str) -> bool:
    """Return whether a class, with the bases that it passes its arguments on to, or a function has a default for a key that
    is no null, or does not name the key. Without a default the model fills it in."""
    bases = made.__mro__ if isinstance(made, type) else ()
    for function in [vars(base)["__init__"] for base in bases if "__init__" in vars(base)] or [made]:
        parameter = inspect.signature(function).parameters.get(key)
        if parameter is not None:
            return parameter.default is not None and parameter.default is not inspect.Parameter.empty
    return True
