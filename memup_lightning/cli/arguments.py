"""The command line before it is parsed: subcommand, options, config files."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from memup_lightning.cli.configs import missing_config_hint
from memup_lightning.exceptions import MemUPError, did_you_mean
from memup_lightning.runs.near_paths import nearest_path

_SPEC_KEYS = ("class_path", "init_args", "dict_kwargs")
_EXAMPLES = {"model": "MemUP", "data": "TMazeDataModule"}
_OTHERS = ("configs", "export")  # subcommands that are not of the LightningCLI


def config_files_first(args: Sequence[str]) -> list[str]:
    """Move config files before all other options, so that an option wins over a file wherever it is written.

    Args:
        args: the subcommand and its options.
    """
    files: list[str] = []
    rest = list(args[:1])
    position = 1
    while position < len(args):
        length = 2 if args[position] in ("--config", "-c") else 1
        (files if length == 2 or args[position].startswith("--config=") else rest).extend(
            args[position : position + length]
        )
        position += length
    return [*rest[:1], *files, *rest[1:]]


def read_config_files(args: Sequence[str]) -> list[dict[str, Any]]:
    """Read each ``--config``, but those that are given by a URL or as text; refuse one that is missing or cannot be read.

    Args:
        args: the command line.

    Raises:
        MemUPError: a missing file, a syntax error (with its place), a file without keys, a key given twice, a key next to
            ``class_path`` that belongs under ``init_args``.
    """
    configs = []
    following = [args[i + 1] for i, arg in enumerate(args[:-1]) if arg in ("--config", "-c")]
    for name in following + [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]:
        path = Path(name)
        if "://" in name or name.lstrip().startswith("{") or "\n" in name:
            continue
        if not path.is_file():
            there = [other.name for other in path.parent.iterdir() if other.is_file()] if path.parent.is_dir() else []
            near = difflib.get_close_matches(path.name, there, n=1)
            hint = f"did you mean {path.parent / near[0]}?" if near else missing_config_hint(name)
            if path.is_dir() and (path / "config.yaml").is_file():
                hint = f"did you mean {path / 'config.yaml'}?"
            elif not hint and (other := nearest_path(path, Path.is_file)) is not None:
                hint = f"did you mean {other}?"
            hint = hint or "give the path of a YAML file"
            raise MemUPError(f"--config {name}: {'is a folder' if path.is_dir() else 'no such file'}; {hint}")
        try:
            config = yaml.load(path.read_text(), _UniqueKeyLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise MemUPError(f"--config {name}: YAML syntax error{place}: {error.problem or error.context}") from error
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise MemUPError(f"--config {name}: cannot be read as YAML: {error}") from error
        if not isinstance(config, dict):
            raise MemUPError(
                f"--config {name}: holds {config!r:.80}, not keys; a config holds trainer:, model: and data:"
            )
        for problem in _misplaced_keys(config, ""):
            raise MemUPError(f"--config {name}: {problem}")
        configs.append(config)
    return configs


def about_command(message: str) -> str | None:
    """Say what is wrong with the command line as a whole; None where the message is about something else.

    Args:
        message: a complaint of jsonargparse.
    """
    if found := re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message):
        names = [*re.findall(r"\w+", found[2]), *_OTHERS]
        return f"there is no subcommand {found[1]!r}; {did_you_mean(found[1], names) or f'choose {either(names)}'}"
    if found := re.match(r"expected \"subcommand\".*?\{(.*)\}", message):
        names = [*found[1].split(","), *_OTHERS]
        return f"a subcommand comes first, {either(names)}: memup fit --config conf/tmaze.yaml"
    if found := re.match(r"unrecognized arguments: (\S+)", message):
        is_config = found[1].endswith((".yaml", ".yml", ".json"))
        hint = (
            f"did you mean --config {found[1]}?"
            if is_config
            else "options are --key=value, as --trainer.max_steps=1000"
        )
        return f"{found[1]!r} is no option; {hint}"
    if found := re.search(r"arguments are required: (.*)", message):
        missing = [name.split(".", 1)[-1] for name in found[1].split(", ")]
        options = " ".join(f"--{name}={_EXAMPLES.get(name, '...')}" for name in missing)
        return (
            f"no {' and no '.join(missing)} given; pass a config, such as --config conf/tmaze.yaml or the config.yaml of a "
            f"run, or {options}"
        )
    return None


def either(names: Sequence[str]) -> str:
    """Join names by commas and ``or``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML loader that refuses a key given twice; PyYAML itself takes the last one and drops the others."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in names:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            names.add(str(key.value))
        return super().construct_mapping(node, deep)


def _misplaced_keys(part: Any, place: str) -> Iterator[str]:
    if isinstance(part, list):
        for number, inner in enumerate(part):
            yield from _misplaced_keys(inner, f"{place}[{number}]")
    elif isinstance(part, dict):
        for key, inner in part.items():
            if "class_path" in part and key not in _SPEC_KEYS:
                hint = (
                    did_you_mean(str(key), _SPEC_KEYS)
                    or f"the keys of {part['class_path']} are written under its init_args"
                )
                yield f"{place}.{key}={inner!r:.80}: {hint}"
            yield from _misplaced_keys(inner, f"{place}.{key}".lstrip("."))
