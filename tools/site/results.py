"""The measured numbers of README and of the pages under docs, from benchmarks/results/*.json.

python -m tools.site.results    # writes all of them again; the tests compare them with the files
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from tools.site.page_tables import PAGE_TABLES
from tools.site.table import Section, Table, columns
from tools.site.tables import AGENTS, COST, LEARNED, SECTIONS, WHY

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "results" / "README.md"
README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- results: .*?-->\n).*?(<!-- end of results -->)", re.DOTALL)
HEAD = """# Results

*Written by `python -m tools.site.results` from `benchmarks/results/`; every row was printed by the command above its table.
`--quick` of each command ends within a minute or so. [The zoo](zoo.md) has small tasks of many kinds with one setting.*
"""
Row = dict[str, Any]
EXPLAINED = 0.95  # share of the explainable information at which a task of the zoo is learned
ZOO_COLUMNS = columns(
    "task | what: about | bits | explained | updates | seconds | accuracy | without memory: without | memory gain: gain | "
    "verdict",
    bits=".2f",
    explained=".3f",
    without=".3f",
    gain=".2f",
    verdict=lambda x: x.replace("_", " "),
)


def rows(file: str) -> list[Row]:
    """Return the rows of a benchmark."""
    found: list[Row] = json.loads((ROOT / "benchmarks" / "results" / f"{file}.json").read_text())["rows"]
    return found


def one(file: str, **keys: Any) -> Row:
    """Return the one row of a benchmark with these values."""
    (found,) = [row for row in rows(file) if keys.items() <= row.items()]
    return found


def page() -> str:
    """Return the page of all results."""
    return "\n".join([HEAD, _contents(), *map(section, SECTIONS)])


def _contents() -> str:
    """Return the contents of the page, by question."""
    lines = ["| question | tables |", "|---|---|"]
    for question in (LEARNED, AGENTS, WHY, COST):
        titles = [part.title for part in SECTIONS if part.question == question]
        links = (f"[{title}](#{re.sub(r'[^a-z0-9 -]', '', title.lower()).replace(' ', '-')})" for title in titles)
        lines.append(f"| {question} | {', '.join(links)} |")
    return "\n".join(lines) + "\n"


def section(part: Section) -> str:
    """Return a heading, a command, where it was measured, and the rows."""
    file = part.table.file
    command, source = f"python -m benchmarks.{part.command or file}", f"[rows](../../benchmarks/results/{file}.json)"
    text = textwrap.fill(f"{part.text} `{command}`, {_where(file)}; {source}.", 124, break_on_hyphens=False)
    return "\n".join([f"## {part.title}", "", text, "", *_markdown(part.table)]) + "\n"


def _where(file: str) -> str:
    """Say on which machine a benchmark ran, with which seeds, and when."""
    about = json.loads((ROOT / "benchmarks" / "results" / f"{file}.json").read_text())["about"]
    seeds = about["seeds"]
    where = f"{about['machine']}; {about['threads']} thread{'s' * (about['threads'] > 1)}; "
    return where + f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}; {about['date'][:10]}"


def _markdown(table: Table) -> list[str]:
    found = [row for row in rows(table.file) if table.only(row)]
    shown = [
        [x.show(row[x.key]) if row.get(x.key) is not None else "-" for x in table.columns.values()] for row in found
    ]
    numbers = [all(re.match(r"[-\d]", cell) for cell in cells) for cells in zip(*shown, strict=True)]
    head = [f"| {' | '.join(table.columns)} |", f"|{'|'.join('---:' if x else '---' for x in numbers)}|"]
    return [*head, *(f"| {' | '.join(cells)} |" for cells in shown)]


def readme_table() -> str:
    """Return the table of README: what is measured here beside baselines and published numbers."""
    maze, million = one("tmaze", length=1000, chunk_length=10), rows("million")
    truncated = [x for x in rows("comparison") if x["task"] == "T-Maze-LNR" and x["method"] == "TBPTT"]
    tasks = {row["task"]: row for row in rows("tasks")}
    agents = {row["agent"]: row for row in rows("tmaze_agents") if row["length"] == 1000 and row["lr"] is None}
    doom = _by_agent(rows("two_colors_agents"))
    solved = sum(x["ended"] == "solved" for x in truncated)
    scattered = tasks["Scattered copy-5000, r=100"]["value"]
    cells = [
        (
            "T-Maze, 1,000 steps, r=10",
            f"{_of(maze)} seeds in {_span(maze['seconds'])} s",
            f"truncated BPTT: {solved} of {len(truncated)} mazes",
            "tmaze",
        ),
        (
            "T-Maze, 1,000,000 steps, r=1",
            f"{sum(x['accuracy'] >= 0.99 for x in million)} of {len(million)} seeds in "
            f"{_span([x['seconds'] for x in million])} s, {max(x['peak_rss_mb'] for x in million):.0f} MB",
            "-",
            "million",
        ),
        (
            "copy over 120 / 5,000 blanks",
            f"{_mean(tasks['Copy-120, r=20']['validation'], 4)} / {_mean(tasks['Copy-5000, r=20']['validation'], 3)}",
            f"paper: {PUBLISHED['copy']}",
            "tasks",
        ),
        (
            "scattered copy, 5,000 blanks",
            f"{_mean(scattered, 4)} ({_seeds(scattered)})",
            f"paper: {PUBLISHED['scattered copy']}",
            "tasks",
        ),
        (
            "adding, 5,000 steps, squared error",
            f"{_mean(tasks['Adding-5000, r=100']['value'], 4)} ({_seeds(tasks['Adding-5000, r=100']['value'])})",
            f"paper: {PUBLISHED['adding']}; predicting the mean: 0.167",
            "tasks",
        ),
        (
            "permuted pixels, 60,000 digits, r=98",
            f"{_mean(tasks['Permuted MNIST, 55,000 updates, MemUP']['value'], 3)} (one seed); "
            f"after 6,000 updates {_mean(tasks['Permuted MNIST, 6,000 updates, MemUP']['value'], 3)}",
            f"after 6,000 updates truncated BPTT: {_mean(tasks['Permuted MNIST, 6,000 updates, TBPTT']['value'], 3)}, "
            f"untrained memory: {_mean(tasks['Permuted MNIST, 6,000 updates, fresh memory, MemUP']['value'], 3)}; "
            f"paper: {PUBLISHED['permuted pixels']}",
            "tasks",
        ),
        (
            "agents, T-Maze of 1,000 steps",
            f"solved on {_of(agents['MemUP two-phase'])} seeds",
            f"PPO-LSTM: {_of(agents['PPO-LSTM'])}; PPO-AMRL: {_of(agents['PPO-AMRL'])}",
            "tmaze_agents",
        ),
        (
            "agents, Two-Colors from pixels, return",
            f"{doom['MemUP two-phase']} ({_seeds(doom['MemUP two-phase'].split(', '))})",
            f"PPO-LSTM: {doom['PPO-LSTM']}; without memory: {doom['PPO without memory']}",
            "two_colors_agents",
        ),
    ]
    head = ["| task | MemUP here | baseline or published | `python -m benchmarks.` |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {task} | {ours} | {other} | `{name}` |" for task, ours, other, name in cells)])


PUBLISHED = {
    "copy": "1.000 / 0.993",
    "scattered copy": "0.999",
    "adding": "0.0053",
    "permuted pixels": "0.954",
}
"""Numbers of the paper (Sorokin et al., 2022, tables 1 and 2)."""


def _of(row: Row) -> str:
    return str(row["solved"]).replace("/", " of ")


def _span(values: list[float]) -> str:
    low, high = round(min(values)), round(max(values))
    return f"{low}" if low == high else f"{low} to {high}"


def _mean(values: list[float], digits: int) -> str:
    return f"{sum(values) / len(values):.{digits}f}"


def _seeds(values: list[Any]) -> str:
    return "one seed" if len(values) == 1 else f"{len(values)} seeds"


def _by_agent(found: list[Row]) -> dict[str, str]:
    names = dict.fromkeys(row["agent"] for row in found)
    return {name: ", ".join(f"{x['return']:.1f}" for x in found if x["agent"] == name) for name in names}


def pages_with_tables() -> list[Path]:
    """Return the pages under docs that have measured tables among their text."""
    return [path for path in sorted((ROOT / "docs").rglob("*.md")) if BLOCK.search(path.read_text())]


def page_with_tables(path: Path) -> str:
    """Return a page with its tables written again; each names one of the zoo's files or of PAGE_TABLES.

    Args:
        path: of the page.
    """
    return BLOCK.sub(lambda block: f"{block[1]}{_page_table(block[1].split()[-2])}\n{block[2]}", path.read_text())


def _page_table(name: str) -> str:
    if name not in PAGE_TABLES:
        return _zoo_table(name)
    return "\n" + "\n".join(_markdown(PAGE_TABLES[name])) + "\n"


def _zoo_table(file: str) -> str:
    found = rows(file)
    reached = sum(row["explained"] is not None and row["explained"] >= EXPLAINED for row in found)
    text = f"{reached} of {len(found)} tasks reach {EXPLAINED}. {_where(file)}."
    return "\n".join([text, "", *_markdown(Table(file, ZOO_COLUMNS))])


def readme() -> str:
    """Return README with its tables of results written again."""
    return BLOCK.sub(lambda block: f"{block[1]}{_readme_table(block[1].split()[-2])}\n{block[2]}", README.read_text())


def _readme_table(name: str) -> str:
    return _page_table(name) if name in PAGE_TABLES else readme_table()


if __name__ == "__main__":
    PAGE.write_text(page())
    README.write_text(readme())
    for path in pages_with_tables():
        path.write_text(page_with_tables(path))
