"""Messages write settings as the user's call has them: by option(), not as options of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.command_line import ROOT

OF_COMMANDS = {  # what only the command line calls
    "memup_lightning/user_warnings.py",
    "memup_lightning/runs/checkpoints/files.py",
    "memup_lightning/runs/checkpoints/lookup.py",
    "callbacks/verdict/command.py",
    "callbacks/verdict/verdict.py: test it: memup test --config ",
    "callbacks/verdict/verdict.py:  --ckpt_path ",
}
WRITTEN = re.compile(r"(?:^|[^\w-])--[a-z]|\b(?:data|model|outcome)\.init_args\.\w")
FOLDERS = ("memup_lightning", "callbacks", "datamodules")


def written(tree: ast.AST) -> Iterator[str]:
    """The texts of a module that name an option and are neither docstrings nor arguments of option() and options()."""
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in ("option", "options"):
        return
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str) and WRITTEN.search(child.value):
            yield child.value
        yield from written(child)


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_message_that_a_call_in_python_may_lead_to_writes_an_option_by_itself(folder: str) -> None:
    found = []
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name in OF_COMMANDS or name.startswith("memup_lightning/cli/"):
            continue
        found += [x for text in written(ast.parse(path.read_text())) if (x := f"{name}: {text}") not in OF_COMMANDS]
    assert found == []


def test_an_option_is_found_in_a_text() -> None:
    code = 'def f():\n    """--doc"""\n    return g(f"resume with --ckpt_path {x}") + option("data.init_args.lanes", 2)'
    assert list(written(ast.parse(code))) == ["resume with --ckpt_path "]
