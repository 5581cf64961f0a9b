"""Incidents: one open problem each, with its alerts; opened once, updated while it lasts, resolved once.

``classes`` say what can be wrong; ``conditions`` what is, as whoever looks finds it; ``reach`` what depends on it;
``reconciling`` makes incidents of it; ``troubles`` does so for a run's verdict. ``handling`` is what people do with
them, ``accounts`` what they are shown. ``topics``, ``information`` and ``news``: what is told though
nothing is wrong.
"""
