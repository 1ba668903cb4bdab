"""Hooks of MkDocs: pages from outside docs/, links that work on GitHub and here, checks that the build must pass."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from tools.site import notebooks, reference

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
"""Pages outside docs/ -> where they are on the site."""
SHOWN = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
"""Files outside docs/ that are shown as code where a page links to them; others are copied."""
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?\)")
FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)

log = logging.getLogger("mkdocs.hooks.site")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/: README, notebooks, reference, and the files that pages link to."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text()))
    for place, text in reference.pages().items():
        files.append(File.generated(config, place, content=text))
    for file in [x for x in files if x.src_uri.endswith(".ipynb")]:
        files.remove(file)
        text = notebooks.to_markdown(ROOT / "docs" / file.src_uri)
        files.append(File.generated(config, _place(f"docs/{file.src_uri}"), content=text))
    for source in sorted({x for file in files.documentation_pages() for x in _linked_files(file)}):
        if language := SHOWN.get(Path(source).suffix):
            text = f"# {source}\n\n```{language}\n{(ROOT / source).read_text()}```\n"
            files.append(File.generated(config, _place(source), content=text, inclusion=InclusionLevel.NOT_IN_NAV))
        else:
            files.append(File.generated(config, _place(source), abs_src_path=str(ROOT / source)))
    _warn_of_undocumented_names()
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links to files of the repository point to their pages of the site."""
    here = _source(page.file.src_uri)

    def on_site(link: re.Match[str]) -> str:
        target = _target(here, link[2])
        if target is None or not (ROOT / target).exists():
            return link[0]
        place = os.path.relpath(_place(target), Path(page.file.src_uri).parent)
        return f"{link[1]}{place}{link[3] or ''})"

    return "".join(part if part.startswith("```") else LINK.sub(on_site, part) for part in FENCE.split(markdown))


def on_env(env: Any, config: MkDocsConfig, files: Files) -> None:
    """Warn of pictures that no page shows."""
    shown = {target for file in files.documentation_pages() for target in _targets(file)}
    for image in sorted(x.src_uri for x in files if x.src_uri.startswith("images/")):
        if f"docs/{image}" not in shown:
            log.warning("docs/%s is shown on no page", image)


def _warn_of_undocumented_names() -> None:
    for path in reference.undocumented():
        log.warning("%s has no docstring", path)


def _targets(file: File) -> list[str]:
    """Return the files of the repository to which a page links."""
    prose = FENCE.sub("", file.content_string)
    found = (_target(_source(file.src_uri), link[2]) for link in LINK.finditer(prose))
    return [target for target in found if target]


def _linked_files(file: File) -> list[str]:
    inside = ("docs/", *OUTSIDE)
    return [x for x in _targets(file) if not x.startswith(inside) and (ROOT / x).is_file()]


def _target(here: str, link: str) -> str | None:
    """Return the path in the repository of a link on a page; None for a link to another server."""
    if re.match(r"[a-z]+:", link):
        return None
    return os.path.normpath(os.path.join(os.path.dirname(here), link))


def _source(place: str) -> str:
    """Return the path in the repository of a page of the site."""
    outside = {there: source for source, there in OUTSIDE.items()}
    return outside.get(place, f"docs/{place}")


def _place(source: str) -> str:
    """Return where a file of the repository is on the site."""
    if source in OUTSIDE:
        return OUTSIDE[source]
    if source.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", source.removeprefix("docs/"))
    return f"source/{source}.md" if Path(source).suffix in SHOWN else f"source/{source}"
