"""Notebooks as Markdown, with the outputs that they hold.

python -m tools.site.notebooks    # runs the notebooks of docs/start again, and keeps what they print and draw
"""

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


def run(path: Path) -> None:
    """Run a notebook in its place; messages of libraries on stderr are left out."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, nbformat.NO_CONVERT)
    NotebookClient(notebook).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [x for x in cell.outputs if x.get("name") != "stderr"]
            cell.metadata = {}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for found in sorted((Path(__file__).parents[2] / "docs" / "start").glob("*.ipynb")):
        run(found)
