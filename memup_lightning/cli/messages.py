"""Turns a parser's complaint into one sentence that says which key, which value, and what was meant.

jsonargparse tries a value against every type that a key may have and reports all failures, nested, over a screen of
text. Every class in a config has a parser of its own, which is asked first. So each parser here condenses its complaint
to the most telling error of all, with its place, and hands that up to the parser around it; the outermost one makes the
sentence. On the way up a complaint travels inside of jsonargparse's text, as JSON between two marks.
"""

from __future__ import annotations

import ast
import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_origin

import yaml
from jsonargparse import ArgumentParser
from jsonargparse._typehints import get_all_subclass_paths

from memup_lightning.exceptions import MemUPError

_MARKED = re.compile("\x02(.*?)\x03", re.DOTALL)
_UNKNOWN_KEY = re.compile(
    r"^(?:Subcommand '.*?' does not accept o|Group '(?P<group>.*?)' does not accept o|O)ption '(?P<key>.*?)'"
)
_LOWEST = 9
_OURS = ("memup_lightning.",)
_NO_KEYS = ("help", "print_config", "print_shtab", "version", "==SUPPRESS==")


@dataclass
class Complaint:
    """What is wrong at one place of a config.

    Args:
        key: the place, from the parser that complains.
        problem: what is wrong, and what was meant.
        value: what stands there, where that is known.
        rank: of several complaints about one value the lowest rank is the most telling.
    """

    key: str
    problem: str
    value: str | None = None
    rank: int = 0

    def __str__(self) -> str:
        value = "" if self.value is None else f"={_short(self.value)}"
        return f"{self.key}{value}: {self.problem}"


def explain(message: str, parser: ArgumentParser) -> str:
    """What was wrong and what was meant, in one sentence; the message itself where it is not understood.

    Args:
        message: what a parser of jsonargparse says.
        parser: that parser.
    """
    try:
        complaint = _complaint(message, parser)
    except (AttributeError, KeyError, TypeError, ValueError):  # another version of jsonargparse words it otherwise
        complaint = None
    if getattr(parser, "_inner_parser", False):
        return message if complaint is None else _marked(complaint)
    if complaint is None:
        return _about_command(message, parser) or _without_marks(message)
    return str(complaint)


def check_config_files(args: Sequence[str]) -> None:
    """Refuse a ``--config`` that is not there or cannot be read.

    Raises:
        MemUPError: a missing file, a syntax error (with its place), a file that holds no keys.
    """
    for name in _config_files(args):
        path = Path(name)
        if "://" in name or name.lstrip().startswith("{") or "\n" in name:
            continue
        if not path.is_file():
            near = difflib.get_close_matches(path.name, _names(path.parent), n=1)
            there = f"did you mean {path.parent / near[0]}?" if near else "give the path of a YAML file"
            raise MemUPError(f"--config {name}: {'is a folder' if path.is_dir() else 'no such file'}; {there}")
        try:
            loaded = yaml.safe_load(path.read_text())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise MemUPError(f"--config {name}: YAML syntax error{place}: {error.problem or error.context}") from error
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise MemUPError(f"--config {name}: cannot be read as YAML: {error}") from error
        if not isinstance(loaded, dict):
            raise MemUPError(
                f"--config {name}: holds {_short(loaded)}, not keys; a config holds trainer:, model: and data:"
            )


def _config_files(args: Sequence[str]) -> list[str]:
    flags = ("--config", "-c")
    after = [args[i + 1] for i, arg in enumerate(args[:-1]) if arg in flags]
    return after + [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


# One parser's complaint.


def _complaint(message: str, parser: ArgumentParser) -> Complaint | None:
    if found := _UNKNOWN_KEY.match(message):
        return _unknown_key(".".join(filter(None, (found["group"], found["key"]))), None, parser)
    if found := re.match(r"unrecognized arguments: --(\S+?)(?:=(.*)| (?!--)(.*))?$", message, re.DOTALL):
        return _unknown_key(found[1], found[2] or found[3], parser)
    if found := re.match(r'Parser key "(.*?)"(?: element \d+)?:(.*)', message, re.DOTALL):
        return _bad_value(found[1], found[2], parser)
    if getattr(parser, "_inner_parser", False) and (found := re.match(r".*arguments are required: (\w+)", message)):
        return Complaint(found[1], f"{_owner(parser, '')} needs this key", rank=4)
    return None


def _unknown_key(key: str, value: str | None, parser: ArgumentParser) -> Complaint:
    valid = _keys(parser)
    known: list[str] = []
    parts = key.split(".")
    for part in parts:  # the part of the key that is right
        if not any(name.startswith(".".join([*known, part, ""])) for name in valid):
            break
        known.append(part)
    wrong = parts[min(len(known), len(parts) - 1)]
    prefix = "".join(f"{part}." for part in known)
    here = list(dict.fromkeys(name[len(prefix) :].split(".")[0] for name in valid if name.startswith(prefix)))
    elsewhere = [name for name in valid if name.endswith(f".{wrong}")]
    if near := difflib.get_close_matches(wrong, [*here, "class_path", "init_args"], n=1):
        hint = f"did you mean {near[0]!r}?"
    elif elsewhere:
        hint = f"did you mean {elsewhere[0]!r}?"
    else:
        hint = f"its keys are {', '.join(sorted(here))}"
        if not known and not getattr(parser, "_inner_parser", False):
            hint += "; keys of a class are written model.init_args.KEY or data.init_args.KEY"
    place = prefix + wrong if wrong != parts[-1] else key
    value = value if wrong == parts[-1] else None
    return Complaint(place, f"{_owner(parser, prefix[:-1])} has no key {wrong!r}; {hint}", value, rank=0 if near else 1)


def _bad_value(key: str, body: str, parser: ArgumentParser) -> Complaint | None:
    given = re.search(r"^ *Given value: (.*)", body, re.MULTILINE)
    value = given[1].strip() if given else None
    text = re.sub(r"^ *Given value.*", "", body, flags=re.MULTILINE)
    found = [_inside(key, Complaint(**json.loads(mark)), value) for mark in _MARKED.findall(text)]
    found += _beside_class_path(key, value)
    leaves = (_leaf(key, line, value, parser) for line in _MARKED.sub("", text).splitlines())
    found += [complaint for complaint in leaves if complaint is not None]
    types = re.search(r"^ *Subtypes: \[(.*)\]$", text, re.MULTILINE)
    if types and all(complaint.rank == _LOWEST for complaint in found):
        return Complaint(key, f"must be {_type_names(types[1])}", value)
    return min(found, key=lambda complaint: complaint.rank, default=None)


def _beside_class_path(key: str, given: str | None) -> list[Complaint]:
    """Keys of a class that stand beside its ``class_path``, not under ``init_args``."""
    try:
        spec = ast.literal_eval(given or "")
    except (ValueError, SyntaxError):  # no plain dict
        return []
    if not isinstance(spec, dict) or "class_path" not in spec:
        return []
    places = ("class_path", "init_args", "dict_kwargs")
    wrong = [name for name in spec if name not in places]
    near = [difflib.get_close_matches(name, places, n=1) for name in wrong]
    return [
        Complaint(
            f"{key}.{name}",
            f"did you mean {close[0]!r}?" if close else f"the keys of {spec['class_path']} stand under its init_args",
            str(spec[name]),
        )
        for name, close in zip(wrong, near, strict=True)
    ]


def _inside(key: str, complaint: Complaint, given: str | None) -> Complaint:
    """The complaint about a class's key, seen from the key at which the class stands."""
    last = complaint.key.rsplit(".", 1)[-1]
    if complaint.value is None and given is not None and complaint.rank <= 1:
        nested = re.match(r"NestedArg\(key='(.*?)', val='?(.*?)'?\)$", given)
        if nested and nested[1].rsplit(".", 1)[-1] == last:
            complaint.value = nested[2]
        elif found := re.search(rf"\b{re.escape(last)}'?[:=] ?('[^']*'|[^,(){{}}\[\]]+)", given):
            complaint.value = found[1].strip("' ") or None
    complaint.key = f"{key}.init_args.{complaint.key}"
    return complaint


def _leaf(key: str, line: str, value: str | None, parser: ArgumentParser) -> Complaint | None:
    """The complaint in one line of a message."""
    if found := re.search(r"Expected a dot import path string: (\S+)", line):
        return Complaint(key, f"there is no such class; {_classes(key, found[1], parser)}", found[1], rank=2)
    if found := re.search(r"module '(\S+)' has no attribute '(\S+?)'", line):
        path = f"{found[1]}.{found[2]}"
        return Complaint(key, f"{found[1]} has no {found[2]!r}; {_classes(key, path, parser)}", path, rank=2)
    if found := re.search(r"(No module named '(\S+)'|Unexpected import path format.*)", line):
        path = _class_path(value) or value or found[2]
        return Complaint(
            key,
            f"cannot be imported ({found[1]}); {_classes(key, path or '', parser)}",
            path,
            rank=2,
        )
    if found := re.search(r"Expected '(\S+)' to be (a (?:subclass|function|class) .*?)\.?$", line):
        return Complaint(key, f"must be {_type_names(found[2])}; {_classes(key, '', parser)}", found[1], rank=3)
    if found := re.search(r"Multiple subclasses with name (\S+?)\. .*?: (.*?)\.?$", line):
        return Complaint(key, f"several classes have this name; give the full path: {found[2]}", found[1], rank=5)
    if found := re.search(r"(\S+) is abstract", line):
        return Complaint(key, f"is abstract; {_classes(key, found[1], parser)}", found[1], rank=2)
    if found := re.search(r"Not a valid subclass of (\w+)", line):
        return Complaint(key, f"is no {found[1]}; {_classes(key, '', parser)}", value, rank=6)
    if found := re.search(r"Expected (?:an? )?(.*?)(?:\. Got value: (.*))?$", line):
        if found[1].startswith("a path but"):
            return None
        given = found[2] or value
        choices = re.match(r"(?:typing\.)?Literal\[(.*)\]", found[1])
        if choices:
            near = difflib.get_close_matches(given or "", names := re.findall(r"'(.*?)'", choices[1]), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return Complaint(key, f"must be one of {', '.join(names) or choices[1]}{hint}", given, rank=2)
        return Complaint(key, f"must be {_type_names(found[1])}", given, rank=2 if found[2] else _LOWEST)
    return None


# What would have been right.


def _keys(parser: ArgumentParser) -> list[str]:
    names = [action.dest for action in parser._actions]
    return [name for name in names if name not in _NO_KEYS and not name.endswith(".help")]


def _owner(parser: ArgumentParser, prefix: str) -> str:
    described = getattr(parser, "described", None) if getattr(parser, "_inner_parser", False) else None
    return prefix or getattr(described, "__name__", "the config")


def _classes(key: str, name: str, parser: ArgumentParser) -> str:
    """The classes that could be meant by a name; ours where none is near."""
    action: Any = next((action for action in parser._actions if action.dest == key), None)
    types: Any = getattr(action, "_typehint", None)
    members: tuple[Any, ...] = getattr(types, "__args__", ()) if get_origin(types) in (Union, UnionType) else (types,)
    shorts: list[dict[str, str]] = [
        {path.rsplit(".", 1)[-1]: path for path in get_all_subclass_paths(member)} for member in members
    ]
    last = name.rsplit(".", 1)[-1]
    for known in shorts if name else []:
        if near := difflib.get_close_matches(last, known, n=3, cutoff=0.7):
            best = [short for short in near if known[short].startswith(_OURS)] or near
            return f"did you mean {' or '.join(best[:2])}?"
    listed = next((known for known in shorts if known), {})
    ours = sorted(short for short, path in listed.items() if path.startswith(_OURS)) or sorted(listed)[:15]
    return f"choose among {', '.join(ours)}, or give a full path, package.module.Class" if ours else "give a full path"


# The command line as a whole.


def _about_command(message: str, parser: ArgumentParser) -> str | None:
    names = [name for action in parser._actions for name in (action.choices or ()) if action.dest == "subcommand"]
    if found := re.search(r"invalid choice: '(.*?)'", message):
        near = difflib.get_close_matches(found[1], names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose {_either(names)}"
        return f"there is no subcommand {found[1]!r}; {hint}"
    if message.startswith('expected "subcommand"'):
        return f"a subcommand comes first, {_either(names)}: python -m memup_lightning fit --config conf/tmaze.yaml"
    if found := re.match(r"unrecognized arguments: (\S+)", message):
        wrong = found[1]
        if wrong.endswith((".yaml", ".yml", ".json")):
            return f"{wrong!r} stands alone; did you mean --config {wrong}?"
        return f"{wrong!r} is no option; options are --key=value, for example --trainer.max_steps=1000"
    if found := re.search(r"arguments are required: (.*)", message):
        missing = [name.split(".", 1)[-1] for name in found[1].split(", ")]
        examples = {"model": "MemUP", "data": "TMazeDataModule"}
        options = " ".join(f"--{name}={examples.get(name, '...')}" for name in missing)
        return (
            f"no {' and no '.join(missing)} given; pass a config that has {'it' if len(missing) == 1 else 'them'}, "
            f"such as --config conf/tmaze.yaml, or {options}"
        )
    if found := re.match(r"ambiguous option: --(\S+?)(?:=(.*?))? could match (.*)", message):
        return str(_unknown_key(found[1], found[2], parser))
    return None


# Wording.


def _marked(complaint: Complaint) -> str:
    # No spaces: jsonargparse deletes a value that stands between two from the messages of its types.
    return "\x02" + json.dumps(asdict(complaint), separators=(",", ":")).replace(" ", "\\u0020") + "\x03"


def _without_marks(message: str) -> str:
    return _MARKED.sub(lambda mark: str(Complaint(**json.loads(mark[1]))), message)


def _class_path(value: str | None) -> str | None:
    found = re.search(r"class_path'?[:=] ?'(.*?)'", value or "")
    return found[1] if found else None


def _type_names(types: str) -> str:
    """``<class 'int'>, <class 'NoneType'>`` -> ``int or null``."""
    text = re.sub(r"<class '(.*?)'>", r"\1", types)
    text = re.sub(r"\b\w+\.(?=\w)", "", text).replace("NoneType", "null")
    parts = re.split(r", (?![^\[]*\])", text)
    return _either(parts)


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""


def _short(value: Any, length: int = 80) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
