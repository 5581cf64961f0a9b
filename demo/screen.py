"""What a person at the terminal sees: a live line while something goes on, and one line for each thing that happened.

Where nobody watches (the output is no terminal) the live line is left out, and what is being waited for is printed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

Tell = Callable[[str, int, int], None]
"""Shows what is going on, how many of it are done, and how many there are; 0 if that is not known."""


class Screen:
    """The terminal.

    Args:
        console: where to write.

    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    @contextmanager
    def going_on(self, title: str) -> Iterator[Tell]:
        """Show a live line while the block runs; it leaves nothing behind."""
        columns = (
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[title]}[/]"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
        )
        plain = not self._console.is_terminal
        if plain:
            self._print(f"  {title} ...", style="dim")
        with Progress(*columns, console=self._console, transient=True, disable=plain) as bars:
            task = bars.add_task("", total=None, title=title)

            def tell(what: str, done: int, total: int) -> None:
                bars.update(task, description=escape(what), completed=done, total=total or None)

            yield tell

    def title(self, text: str) -> None:
        """Begin a part."""
        self._console.print()
        self._console.rule(f"[bold]{escape(text)}[/]", align="left")

    def well(self, name: str, text: str) -> None:
        """Say in one line that something went as expected."""
        self._line("[green]✔[/]", name, text)

    def skipped(self, name: str, text: str) -> None:
        """Say in one line what was done before, and is not again."""
        self._line("[dim]·[/]", name, text, style="dim")

    def wrong(self, name: str, text: str, problems: Iterable[str]) -> None:
        """Say that something was not as expected, and what."""
        self._line("[red]✘[/]", name, text)
        for problem in problems:
            self._print(f"    {problem}", style="red")

    def say(self, text: str) -> None:
        """Say something."""
        self._print(text)

    def error(self, text: str) -> None:
        """Say why it ends."""
        self._print(text, style="red")

    def quote(self, title: str, text: str) -> None:
        """Show a text that somebody else wrote; its lines stay whole, so that a link in it can be followed."""
        for line in [f"{title}:", *text.splitlines()]:
            self._print(f"    │ {line}", style="yellow")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers_from: int) -> None:
        """Show a table; its columns hold numbers from one of them on."""
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        for place, column in enumerate(columns):
            number = place >= numbers_from
            table.add_column(column, justify="right" if number else "left", no_wrap=True, overflow="ellipsis")
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)

    def _line(self, mark: str, name: str, text: str, style: str = "") -> None:
        # Soft wrap: however long, it is one line for whoever copies or searches it.
        self._console.print(f"{mark} [bold]{escape(name)}[/]  {escape(text)}", style=style, soft_wrap=True)

    def _print(self, text: str, style: str = "") -> None:
        self._console.print(Text(text), style=style, soft_wrap=True)
