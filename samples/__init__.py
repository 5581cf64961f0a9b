"""A simulated shop: deliveries with the schemas and habits of the real one, for the demo and the tests.

``python -m samples FOLDER --days 60 --until 2011-06-30`` writes them; :mod:`samples.unhappy` makes the bad days.
"""

from samples.shop import ELASTICITY, simulate

__all__ = ["ELASTICITY", "simulate"]
