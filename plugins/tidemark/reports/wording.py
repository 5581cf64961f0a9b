"""Numbers in words: the same in subject, text, HTML and charts."""

from tidemark.figures import CHANGE, COUNT, NUMBER, SHARE, TEXT, Cell, Figures, Number

NOTHING = "–"
# Pence matter for the price of a pen, and not for the revenue of a day.
_WHOLE_FROM = 1000


def plain(text: str) -> str:
    """Return text as one line of what can be read: no control character, and nothing that turns writing round."""
    return " ".join("".join(each for each in text if each.isprintable() or each.isspace()).split())


def shown(value: Cell, unit: str) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return NOTHING
    if unit == TEXT or isinstance(value, str):
        return plain(str(value))
    if unit == COUNT:
        return f"{value:,.0f}"
    if unit == SHARE:
        return f"{value * 100:.1f} %"
    if unit == CHANGE:
        return f"{_signed(value * 100, 1)} %"
    if unit == NUMBER:
        return f"{value:.3g}"
    digits = 0 if abs(value) >= _WHOLE_FROM else 2
    return f"{unit} {value:,.{digits}f}"


def is_right(unit: str) -> bool:
    """Whether values of a unit stand at the right of their column, so that digits are below digits."""
    return unit != TEXT


def compared(number: Number, against: str) -> str:
    """Return how a number differs from what it was; empty where there is nothing to compare."""
    if number.value is None or number.before is None:
        return ""
    if number.unit in (SHARE, CHANGE):
        return f"{_signed((number.value - number.before) * 100, 1)} points on {against}"
    if not number.before:
        return ""
    return f"{_signed((number.value / number.before - 1) * 100, 0)} % on {against}"


def _signed(value: float, digits: int) -> str:
    """Return a difference with its sign; what rounds to nothing has none."""
    said = f"{value:+.{digits}f}"
    return said[1:] if not float(said) else said


def sentence(figures: Figures, partition: str) -> str:
    """Return the core numbers in a line; the first of them is compared."""
    parts = [each.said.replace("{}", shown(each.value, each.unit)) for each in figures.numbers]
    difference = compared(figures.numbers[0], figures.against) if figures.numbers else ""
    if difference:
        parts[0] += f" ({difference})"
    return plain(f"{figures.title} {partition}: {', '.join(parts)}")
