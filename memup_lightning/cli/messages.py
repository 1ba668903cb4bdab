"""Messages for common mistakes in a config: an unknown key, an unknown class, a wrong type.

jsonargparse tries a value against every type that a key may have, and reports all failures as an indented tree. The
functions here walk that tree and take its most telling line, with the keys above it. Other messages are unchanged.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser

import memup_lightning
from memup_lightning.cli.arguments import about_command, either
from memup_lightning.exceptions import did_you_mean

_PACKAGE_PREFIX = "memup_lightning."
_IMPORT_FAILURE = re.compile(
    r"Expected a dot import path string: (?P<short>\S+)|module '(?P<module>\S+)' has no attribute '(?P<attribute>\S+?)'"
    r"|(?P<missing>No module named '\S+')|but (?:(?P<abstract>\S+) )?is abstract|Expected '(?P<other>\S+)' to be a subclass"
)
_STRUCTURE = re.compile(
    r"Parser key|Does not validate|Subtypes:|Errors:|Given value|Expected |Problem with given|Type .* expects|Not a valid"
)
"""How the lines of a complaint begin that give no reason of their own."""
_ELSEWHERE = {
    "batch_size": "data.lanes",
    "sequence_length": "data.chunk_length",
    "seq_len": "data.chunk_length",
    "lr": "model.optimizer.lr",
    "learning_rate": "model.optimizer.lr",
    "hidden_size": "model.memory.hidden_size",
    "hidden_dim": "model.memory.hidden_size",
    "epochs": "trainer.max_epochs",
    "target": "data.y",
    "targets": "data.y",
    "label": "data.y",
    "labels": "data.y",
    "features": "data.x",
    "columns": "data.x",
    "id": "data.episode",
    "group": "data.episode",
    "timestamp": "data.time",
}
"""Keys of the model or the data that many libraries have, and what they are here."""


@dataclass
class _Node:
    """Key of the tree that jsonargparse prints, or a line below it."""

    indent: int
    key: str
    class_path: str = ""
    types: str = ""
    text: str = ""


def explain(message: str, keys: Sequence[str]) -> str:
    """Say in one sentence what is wrong at which key, and what was meant.

    Args:
        message: a complaint of jsonargparse.
        keys: the keys of the command line, such as ``trainer.max_steps``.
    """
    if found := re.match(r"(?:Subcommand '\w+' does|Group '(\w+)' does|Option)\b.*?'([\w.]+)'", message):
        return _unknown_key(".".join(filter(None, found.groups())), "", keys)
    if found := re.match(r"(?:unrecognized arguments|ambiguous option): --([\w.]+)(?:[= ](?!--)(\S+))?", message):
        return _unknown_key(found[1], found[2] or "", keys)
    if message.startswith("Parser key"):
        nodes = list(_walk(message))
        for sentence in (_wrong_key, _wrong_class, _missing_key, _wrong_type, _other_reason, _wrong_types):
            if found_all := [text for node in nodes if (text := sentence(node, message))]:
                return min(found_all, key=lambda text: "did you mean" not in text)
    return about_command(message) or message


def _walk(message: str) -> Iterator[_Node]:
    """Yield the lines of a complaint, each with its place: the keys above it, and the class and types of the last one."""
    above: list[_Node] = []
    for line in filter(str.strip, message.splitlines()):
        indent = len(line) - len(line.lstrip(" -"))
        while above and above[-1].indent >= indent:
            above.pop()
        for key, class_path in re.findall(r"Parser key \"(.*?)\".*?:|given class_path '(.*?)'", line):
            above.append(_Node(indent, key, class_path or (above[-1].class_path if above else "")))
        if not above:
            continue
        if found := re.search(r"Subtypes: \[(.*)\]$|Type (.*) expects a function", line):
            above[-1].types = found[1] or found[2]
        place = ".init_args.".join(node.key for node in above if node.key)
        yield _Node(indent, place, above[-1].class_path, above[-1].types, line)


def _wrong_key(node: _Node, message: str) -> str | None:
    if not (found := re.search(r"Option '([\w.]+)' is not accepted", node.text)):
        return None
    inside = re.search(r"class_path='([\w.]+)', init_args", node.text)
    class_path = inside[1] if inside else node.class_path
    value = re.search(rf"\b{found[1]}'?(?:, val=|: |=)('[^']*'|[^,(){{}}\[\]']+)", message)
    place = f"{node.key}.init_args.{found[1]}" + (f"={value[1].strip(chr(39))}" if value else "")
    if not isinstance(made := import_path(class_path), type):  # the name of a type of the key
        return f"{place}: no class is named that has the key {found[1]!r}; give --{node.key}=CLASS before it"
    known = _keys(made)
    meant = _ELSEWHERE.get(found[1]) if node.key in ("model", "data") else None
    if meant and node.key == "data" and meant.startswith("data.") and meant.removeprefix("data.") not in known:
        meant = None  # a maze has no columns
    hint = (f"did you mean --{meant}?" if meant else did_you_mean(found[1], known)) or (
        f"its keys are {', '.join(known)}" if known else "it has none"
    )
    return f"{place}: {class_path.rsplit('.', 1)[-1]} has no key {found[1]!r}; {hint}"


def _missing_key(node: _Node, message: str) -> str | None:
    if not (found := re.search(r"arguments are required: (.*)", node.text)) or not node.class_path:
        return None
    name = node.class_path.rsplit(".", 1)[-1]
    return f"{node.key}.init_args needs {found[1]}: {name} has no default for it"


def _wrong_class(node: _Node, message: str) -> str | None:
    if not (found := _IMPORT_FAILURE.search(node.text)):
        return None
    given = re.search(r"Given value: (\S+)$", message, re.MULTILINE)
    path = found["short"] or found["abstract"] or found["other"] or ".".join(filter(None, found.group(2, 3)))
    path = path or (given[1] if given else "")
    is_abstract = found[0].endswith("is abstract")
    bases = _bases(node.types)
    if found["short"] and re.search(r"<class '(int|float)'>", node.types):
        return None  # a number is meant
    known, shared = _subclasses(bases[0]) if bases else {}, False
    near: list[str] = []
    if is_abstract and (
        key := re.search(r"Given value: NestedArg\(key='([\w.]+)', val=(.*)\)$", message, re.MULTILINE)
    ):
        return _class_before_key(node.key, key[1], key[2].strip("'"), known)
    for base in reversed(bases):
        names = _subclasses(base)
        if path in names:
            shared, near = True, []
        elif close := difflib.get_close_matches(path.rsplit(".", 1)[-1], names, n=3, cutoff=0.7):
            known, near = names, [name for name in close if names[name].startswith(_PACKAGE_PREFIX)] or close
    ours = sorted(name for name, full in known.items() if full.startswith(_PACKAGE_PREFIX)) or sorted(known)[:15]
    listed = f"choose among {', '.join(ours)}, or give" if ours else "give"
    is_function = not known and "Callable[" in node.types  # one will do
    full = "package.module.function or package.module.Class" if is_function else "package.module.Class"
    hint = f"did you mean {either(near[:2])}?" if near else f"{listed} a full path, {full}"
    none = f"there is no such {'function or class' if is_function else 'class'}"
    problem = "is abstract" if is_abstract else found["missing"] or none
    if shared and path in known:
        problem = f"several classes have this name; {known[path]} is one"
    elif found["other"] or shared:
        problem = f"must be a subclass of {bases[0].__name__ if bases else 'another class'}"
    return f"{node.key}={path}: {problem}; {hint}"


def _class_before_key(place: str, key: str, value: str, known: dict[str, str]) -> str:
    """Say that a class must be named before a key of it, and which classes have the key.

    Args:
        place: key of the part, such as ``trainer.logger``.
        key: of the class that was not named.
        value: that was given to it.
        known: the classes of such a part, as :func:`_subclasses` returns them.
    """
    short = key.removeprefix("init_args.")
    names = sorted(known, key=lambda name: (not known[name].startswith(_PACKAGE_PREFIX), name))
    keys = {name: _keys(import_path(known[name])) for name in names}
    if not (having := [name for name in names if short in keys[name]]):
        hint = did_you_mean(short, sorted({key for known_keys in keys.values() for key in known_keys}))
        return f"{place}.{key}={value}: no class has the key {short!r} there; {hint or f'choose among {either(names)}'}"
    option, part = f"--{place}.{key} {value}", place.replace(".init_args", "")
    return (
        f"{place}.{key}={value}: no class is named that has the key {short!r}; name one before it, such as "
        f"--{part} {having[0]} {option}" + (f" (or {either(having[1:])})" if having[1:] else "")
    )


def _keys(class_type: Any) -> list[str]:
    """Return the keys that a class has in a config."""
    parser = ArgumentParser()
    parser.add_class_arguments(class_type, fail_untyped=False)
    return sorted({key.split(".")[0] for key in parser.get_defaults().keys()})  # noqa: SIM118 (a Namespace)


def _wrong_type(node: _Node, message: str) -> str | None:
    if not (found := re.search(r"Expected an? (.*?)\. Got value: (.*?)(?:\. Got value|$)", node.text)):
        return None
    value = "null" if found[2] == "None" else found[2]
    if choices := re.match(r"(?:typing\.)?Literal\[(.*)\]", found[1]):
        names = re.findall(r"'(.*?)'", choices[1])
        return "; ".join(
            filter(None, (f"{node.key}={value}: must be one of {', '.join(names)}", did_you_mean(found[2], names)))
        )
    return f"{node.key}={value}: must be {_type_names(found[1])}{_as_list(node.key, value, found[1])}"


def _other_reason(node: _Node, message: str) -> str | None:
    """Return a line that is none of jsonargparse's own, with the key that it is about."""
    text = node.text.strip(" -")
    return None if not node.key or _STRUCTURE.match(text) else f"{node.key}: {text.rstrip('.')}"


def _wrong_types(node: _Node, message: str) -> str | None:
    given = re.search(r"^ *Given value: (.*?)(?:\. Got value|$)", node.text)
    if not given or not node.types:
        return None
    return f"{node.key}={given[1][:80]}: must be {_type_names(node.types)}{_as_list(node.key, given[1], node.types)}"


def _as_list(key: str, value: str, types: str) -> str:
    """Say how names are written where a list of them is needed and some were given, as the end of a sentence."""
    if not re.search(r"[Ll]ist\[str\]", types) or not re.fullmatch(r"[\w.-]+( ?, ?[\w.-]+)*", value):
        return ""
    return f"; write --{key.replace('.init_args', '')}='[{value}]'"


def _unknown_key(key: str, value: str, keys: Sequence[str]) -> str:
    if "subcommand" in keys:
        return f"--{key} must follow the subcommand: memup fit --{key}=..."
    right, parts = "", key.split(".")
    while len(parts) > 1 and any(name.startswith(f"{right}{parts[0]}.") for name in keys):
        right += f"{parts.pop(0)}."
    here = sorted({name.removeprefix(right).split(".")[0] for name in keys if name.startswith(right)})
    elsewhere = [name for name in keys if name.endswith(f".{parts[0]}")]
    hint = did_you_mean(parts[0], here) or (
        f"did you mean {elsewhere[0]!r}?" if elsewhere else f"its keys are {', '.join(here)}"
    )
    place = f"{right}{parts[0]}" + (f"={value}" if value and len(parts) == 1 else "")
    return f"{place}: {right[:-1] or 'the config'} has no key {parts[0]!r}; {hint}"


def import_path(path: str) -> Any:
    """Return the class or function of a dotted path; None where its module has no such name."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name, None)


def _bases(types: str) -> list[type]:
    """Return the classes among the types of a key, in their order."""
    found = (
        import_path(name)
        for name in re.findall(r"(?<![\w.])(?!collections|typing)[\w.]+\.[A-Z]\w*", re.sub(r"\[\[.*?\], ", "[", types))
    )
    return [base for base in found if isinstance(base, type)]


def _subclasses(base: type) -> dict[str, str]:
    """Return the public classes that are accepted for a class: short name -> path."""
    known: dict[str, str] = {}
    waiting = [base]
    while waiting:
        waiting += (found := waiting.pop()).__subclasses__()
        path = f"{found.__module__}.{found.__qualname__}"
        if path.startswith("memup_lightning.") and found.__name__ not in memup_lightning.__all__:
            continue  # a base class of ours
        if "._" not in path and "<" not in path and found is not base and not inspect.isabstract(found):
            known[found.__name__] = path
    return known


def _type_names(types: str) -> str:
    """Format types: ``<class 'int'>, <class 'NoneType'>`` -> ``int or null``."""
    text = re.sub(r"\b\w+\.(?=\w)", "", re.sub(r"<class '(.*?)'>", r"\1", types)).replace("NoneType", "null")
    names = re.split(r", (?![^\[]*\])", text)
    return either([name for name in names if name != "Tensor"] or names)  # no config holds a tensor
