"""The demo on a terminal: a full-screen picture, several times a second."""

from __future__ import annotations

from typing import Final

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from cicd_core.cli.demo.state import KILLED, Board, Course, EventLine, Scene
from cicd_core.cli.screen import line, span, status
from cicd_core.model.choices import text_of
from cicd_core.model.job import JobState, Priority

#: Pictures a second.
_RATE: Final = 8.0
#: Minimum size of a terminal for the picture, in columns and lines.
SMALLEST: Final = (60, 20)
#: Number of columns from which the agents' processes are shown.
_WIDE: Final = 100
#: Each in Unicode, and in ASCII.
_BAR: Final = ("━", "=")
_RULE: Final = ("─", "-")
_MARKS: Final = {
    Course.WAITING: ("·", ".", "bright_black"),
    Course.GOING: ("▸", ">", "cyan"),
    Course.DONE: ("✓", "+", "green"),
    Course.FAILED: ("✗", "!", "bold red"),
}
#: The states in the order of a job's life, as counted at the top.
_COUNTED: Final = (
    ("queued", (JobState.PENDING, JobState.QUEUED, JobState.CLAIMED)),
    ("running", (JobState.RUNNING,)),
    ("success", (JobState.SUCCESS,)),
    ("failed", (JobState.FAILED, JobState.TIMEOUT, JobState.ERROR)),
    ("dead_lettered", (JobState.DEAD_LETTERED,)),
    ("cancelled", (JobState.CANCELLED,)),
)


def can_show(console: Console) -> bool:
    """Return whether the console is a terminal that is large enough for the picture."""
    width, height = console.size
    terminal = console.is_terminal and not console.is_dumb_terminal
    return terminal and width >= SMALLEST[0] and height >= SMALLEST[1]


async def show_live(board: Board, console: Console) -> None:
    """Show the board until this call is cancelled."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(board, console), refresh=True)
            await anyio.sleep(1 / _RATE)


def picture(board: Board, console: Console) -> RenderableType:
    """Return the current picture, as high as the terminal."""
    width, height = console.size
    plain = console.options.ascii_only
    agents = _agents(board, width)
    # The title, two rules, the bar, two lines of counts, two empty ones, the agents, the scenes.
    room = height - 8 - agents.row_count - len(Scene)
    return Group(
        _title(board, width),
        Rule(style="bright_black", characters=_RULE[plain]),
        _bar(board, width, plain=plain),
        _counts(board),
        _waiting(board),
        Text(),
        agents,
        Text(),
        scene_lines(board, plain=plain, cut=True),
        Rule(style="bright_black", characters=_RULE[plain]),
        _events(board, max(0, room)),
    )


def scene_lines(board: Board, *, plain: bool, cut: bool = False) -> Table:
    """Return the status of each scene.

    Args:
        board: the state of the scenes.
        plain: whether to use only ASCII.
        cut: whether each must fit into one line.
    """
    grid = _grid(3)
    for scene, state in board.scenes.items():
        mark, ascii_mark, style = _MARKS[state.course]
        dim = "bright_black" if state.course is Course.WAITING else ""
        label = line(state.text, "red" if state.course is Course.FAILED else dim)
        grid.add_row(
            Text(f" {ascii_mark if plain else mark}", style),
            Text(scene.value, dim or "bold"),
            _cut(label) if cut else label,
        )
    return grid


def _title(board: Board, width: int) -> Text:
    clock = f"{board.clock():.1f} s "
    title = Text(" cicd-core demo  ", "bold").append_text(line(board.title))
    title.truncate(width - len(clock) - 1, overflow="ellipsis", pad=True)
    return title.append(f" {clock}", "cyan")


def _bar(board: Board, width: int, *, plain: bool) -> Text:
    """Return the share of ended jobs, as a bar."""
    total, ended = max(1, len(board.jobs)), board.ended
    label = f" {ended} of {len(board.jobs)} jobs have ended "
    length = max(10, width - len(label) - 2)
    full = length * ended // total
    character = _BAR[plain]
    bar = Text(" ").append(character * full, "green")
    return bar.append((" " if plain else character) * (length - full), "bright_black").append(label)


def _counts(board: Board) -> Text:
    shown = Text(" ")
    for name, states in _COUNTED:
        number = board.count(*states)
        label = status(name)
        shown.append_text(label if number else Text(label.plain, "bright_black"))
        shown.append(f" {number}   ", "bold" if number else "bright_black")
    return _cut(shown)


def _waiting(board: Board) -> Text:
    waiting = board.queued_by_priority()
    shown = Text(" in the queue:  ", "bright_black")
    for priority in Priority:
        number = waiting[priority]
        shown.append(f"{text_of(priority)} ", "" if number else "bright_black")
        shown.append(f"{number}   ", "bold" if number else "bright_black")
    return _cut(shown)


def _agents(board: Board, width: int) -> Table:
    wide = width >= _WIDE
    grid = _grid(4 if wide else 3)
    for agent_id, agent in board.agents.items():
        killed = agent.status == KILLED
        jobs = [
            f"{job.name} ({span(board.clock() - job.since)})" for job in board.held_by(agent_id)
        ]
        doing = ", ".join(jobs)
        if killed and jobs:
            doing = f"leases expire: {doing}"
        cells = [
            Text(f" {agent_id}", "bold"),
            Text(KILLED, "bold red") if killed else status(agent.status),
            _cut(line(doing, "red" if killed else "cyan")),
        ]
        if wide:
            cells.insert(2, Text(f"process {agent.pid}", "bright_black"))
        grid.add_row(*cells)
    return grid


def _events(board: Board, room: int) -> Table:
    grid = _grid(3)
    newest: list[EventLine] = list(board.events)[-room:] if room else []
    for event in newest:
        grid.add_row(
            Text(f"{event.seconds:6.1f}", "bright_black"),
            line(event.subject),
            _cut(line(event.what, str(status(event.state).style))),
        )
    return grid


def _grid(columns: int) -> Table:
    """Return a grid without headers; only its last column shrinks."""
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    for _ in range(columns - 1):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    return grid


def _cut(text: Text) -> Text:
    """Return a text that keeps to one line."""
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
