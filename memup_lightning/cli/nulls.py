"""Keys of a config that are null where their class needs a value; jsonargparse passes them on."""

from __future__ import annotations

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
    nulls = [key for key, value in vars(init_args).items() if value is None]
    if not nulls:
        return
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(import_path(class_path), fail_untyped=False)
    defaults = vars(parser.get_defaults())
    for key in nulls:
        if defaults.get(key) is None:  # needs no value, or the model fills it in
            continue
        null = Namespace(**{key: None})  # type: ignore[no-untyped-call]
        try:
            parser.validate(null, skip_unset=False, skip_required=True)
        except (TypeError, ValueError) as error:
            raise MemUPError(f"{place}.init_args.{explain(str(error), [])}") from error
