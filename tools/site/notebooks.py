"""Notebooks as Markdown, with the outputs that they hold."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def to_markdown(path: Path) -> str:
    """Return the cells and outputs of a notebook."""
    return "\n\n".join(part for cell in json.loads(path.read_text())["cells"] for part in _cell(cell))


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *(_output(output) for output in cell["outputs"])]


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return _text("".join(output["text"]))
    data = output["data"]
    if "image/png" in data:
        return f"![Output of the cell above](data:image/png;base64,{''.join(data['image/png']).strip()})"
    return _text("".join(data["text/plain"]))


def _text(text: str) -> str:
    return f"```text\n{ESCAPES.sub('', text).rstrip()}\n```"
