"""Rule 2 by mutation: of a small package with every kind of syntax, each mutant is told or not, as it must be."""

import ast
import importlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.fingerprint.bundles import Bundle, Files, MakeBundle
from tests.fingerprint.edited import SHOP
from tests.fingerprint.every_syntax import PACKAGE
from tests.fingerprint.mutants import kinds_in, mutants_of, names_bound
from tidemark.fingerprint import fingerprint, normal
from tidemark.fingerprint.modules import Module

ASSETS = ("left", "right")


def readers(statement: ast.stmt) -> set[str]:
    """Return which assets reach a statement of the package: its names say so."""
    found = set()
    for name in names_bound(statement) - {"asset"}:
        owner = next((each for each in (*ASSETS, "idle") if name.lower().startswith(each)), None)
        found.update(ASSETS if owner is None else {owner} & {*ASSETS})
    return found


def versions(made: Bundle) -> dict[str, bytes] | None:
    """Return the code version of each asset, or None where the file does not load: then there is none to compare."""
    with made.on_the_path():
        try:
            module = made.load()
            assets = [getattr(module, name) for name in ASSETS]
        except Exception:  # whatever a mutant raises
            return None
        return {name: fingerprint(asset).digest for name, asset in zip(ASSETS, assets, strict=True)}


@dataclass
class Outcome:
    """What became of the mutants.

    Attributes:
        ran: how many were compared, by whether an asset reaches what was changed.
        not_loaded: how many raise as they are imported: they have no code version.
        kinds: kinds of nodes that were changed and reached.
        wrong: those with the wrong answer, for people.

    """

    ran: Counter[bool] = field(default_factory=Counter)
    not_loaded: int = 0
    kinds: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


def outcome(file: str, bundle: MakeBundle) -> Outcome:
    """Take the code versions of the package with each mutant of one of its files."""
    written = versions(bundle(PACKAGE))
    assert written is not None
    statements = ast.parse(PACKAGE[file]).body
    found = Outcome()
    for mutant in mutants_of(PACKAGE[file]):
        after = versions(bundle({**PACKAGE, file: mutant.text}))
        if after is None:
            found.not_loaded += 1
            continue
        expected = set() if mutant.decorator else readers(statements[mutant.statement])
        changed = {name for name in ASSETS if after[name] != written[name]}
        found.ran[bool(expected)] += 1
        if expected:
            found.kinds |= mutant.kinds
        if changed != expected:
            found.wrong.append(f"{file}, {mutant.what}: changes {sorted(changed)}, must change {sorted(expected)}")
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_a_mutant_changes_the_version_of_what_reaches_it_and_of_nothing_else(bundle: MakeBundle) -> None:
    """Whatever is changed, wherever, the assets that reach it have another version, and the others have the same."""
    outcomes = [outcome(file, bundle) for file in PACKAGE]
    wrong = [each for some in outcomes for each in some.wrong]
    assert not wrong, "\n".join(wrong)
    kinds = {kind for text in PACKAGE.values() for kind in kinds_in(text)}
    assert kinds - {kind for some in outcomes for kind in some.kinds} == set()
    reached, others = (sum(some.ran[answer] for some in outcomes) for answer in (True, False))
    print(f"{reached} mutants inside, {others} outside, {sum(some.not_loaded for some in outcomes)} not loaded")
    assert reached > 400
    assert others > 60


BREAKS = {
    "operators": lambda monkeypatch: monkeypatch.setattr(normal, "_SKIPPED_FIELDS", normal._SKIPPED_FIELDS | {"op"}),
    "slices": lambda monkeypatch: monkeypatch.setattr(normal, "_SKIPPED_FIELDS", normal._SKIPPED_FIELDS | {"slice"}),
    "other files": lambda monkeypatch: monkeypatch.setattr(Module, "resolve", lambda self, use: None),
}


@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("what", BREAKS)
def test_the_mutants_find_out_a_fingerprint_that_passes_over_something(
    what: str, bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no test of nothing: each of these breaks the fingerprint on purpose."""
    BREAKS[what](monkeypatch)
    assert outcome("deep.py", bundle).wrong


# -- an oracle: run it


ORACLE: Files = {
    **SHOP,
    "prices.py": SHOP["prices.py"].replace("orders.with_columns(cost=pl.lit(price))", "price, type(price)"),
    "run.py": "import prices\n\n\ndef result():\n    return repr(prices.prices(None, None))\n",
}


def numbers_in(files: Files) -> Iterator[tuple[str, Files]]:
    """Yield the files with one number changed, for each number in each."""
    for name, text in files.items():
        for node in ast.walk(ast.parse(text if name.endswith(".py") else "")):
            if isinstance(node, ast.Constant) and type(node.value) in (int, float):
                lines = text.splitlines(keepends=True)
                line = lines[node.lineno - 1]
                changed = f"{line[: node.col_offset]}({node.value!r} + 17){line[node.end_col_offset :]}"
                where = f"{name}:{node.lineno}: {changed.strip()}"
                yield where, {**files, name: "".join([*lines[: node.lineno - 1], changed, *lines[node.lineno :]])}


def test_no_number_can_be_changed_that_changes_the_result_but_not_the_fingerprint(bundle: MakeBundle) -> None:
    """Each number in the shop is changed in turn, the function is run, and its result compared."""

    def came_out(files: Files) -> tuple[str, bytes]:
        made = bundle(files)
        with made.on_the_path():
            return made.load("run").result(), fingerprint(importlib.import_module("prices").prices).digest

    result, digest = came_out(ORACLE)
    told = kept = 0
    for where, files in numbers_in(ORACLE):
        new_result, new_digest = came_out(files)
        assert new_result == result or new_digest != digest, f"{where} changes the result and not the fingerprint"
        told += new_digest != digest
        kept += new_digest == digest
    assert told > 10
    assert kept > 3
