"""What stories about reports share: a shop whose report holds whatever a file beside it says."""

from tests.scenario import Shop
from tidemark.figures import BARS, COLUMNS, COUNT, CURVES, SHARE, Chart, Column, Figures, Number, Section, Series, Table
from tidemark.reports import Report, render

DAY, BEFORE = "2025-01-06", "2025-01-05"
ODD = '<script>alert("1")</script> & $x^2$ \u202e Tässe – 茶\n'

FIGURES = Figures(
    "Shop",
    (
        Number("Revenue", 23456.0, "GBP", before=22510.0),
        Number("Orders", 87, COUNT, before=87, said="{} orders"),
        Number("Returned", 0.021, SHARE, before=0.02, said="{} returned"),
    ),
    (
        Section(
            "Products",
            "Said in words.",
            (Number("Elasticity", -1.55, "number"),),
            (
                Chart("By day", COLUMNS, Column("day"), (BEFORE, DAY), "GBP", (Series("revenue", (1200.0, 1.5)),)),
                Chart("Best", BARS, Column("product"), ("CUP", "LAMP"), "GBP", (Series("revenue", (7.25, -2.5)),)),
                Chart("Curve", CURVES, Column("price", "change"), (-0.1, 0.0), SHARE, (Series("seen", (1.125, None)),)),
            ),
            (
                Table((Column("Code"), Column("Units", COUNT)), (("84051E", 1234),)),
                Table((Column("Code"),), (), empty="Nothing moved."),
            ),
        ),
    ),
)

DEFINITIONS = """
    from pathlib import Path

    orders = source("orders", files="orders/{partition}.csv", partitions=Daily(), expected=Calendar("MON-SUN"))

    @asset(partitions=Daily())
    def lines(orders: str) -> str:
        return orders

    @asset(partitions=Daily(), inputs={"lines": trailing(days=2)}, files=["figures.json"])
    def takings(lines: "pl.DataFrame | None") -> str:
        return (Path(__file__).parent / "figures.json").read_text()
"""


def open_for_business(shop: Shop, figures: Figures = FIGURES, days: tuple[str, ...] = (BEFORE, DAY)) -> Shop:
    """Let a shop report figures for each day that it was delivered to."""
    (shop.dags / "figures.json").write_text(figures.to_text())
    shop.define(DEFINITIONS.replace("def lines(orders: str) -> str", "def lines(orders: pl.DataFrame) -> pl.DataFrame"))
    shop.edit("[orders, lines, takings])", "[orders, lines, takings], reports=['takings'], owner='sales')")
    for day in days:
        shop.deliver("orders", day, "k,v\na,1\n")
    shop.now("2025-01-07T06:00")
    shop.run()
    return shop


def rendered(shop: Shop, day: str = DAY, page: str | None = None) -> Report:
    """Return the report of a day as it is shown now."""
    with shop.deployment() as deployment:
        return render(deployment, "takings", day, page=page)
