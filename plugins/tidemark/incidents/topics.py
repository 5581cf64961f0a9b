"""The topics of information: what people can subscribe to, and are told of without being woken.

Nothing here is wrong, so nothing here is an incident: who has not subscribed to a topic never hears of it.
"""

from enum import StrEnum


class Topic(StrEnum):
    """What information can be about; a notice of information carries one as its topic."""

    MODEL_PROMOTED = "model_promoted"
    MODEL_ROLLED_BACK = "model_rolled_back"
    REPAIRED = "repaired"
    OUTLIERS = "outliers"
    ACCURACY = "accuracy"
    SILENCES = "silences"

    @property
    def said(self) -> str:
        """What it is about, in words."""
        return _SAID[self]


_SAID = {
    Topic.MODEL_PROMOTED: "a person has made a version of a model the champion",
    Topic.MODEL_ROLLED_BACK: "a person has taken a champion back",
    Topic.REPAIRED: "provisional results became final",
    Topic.OUTLIERS: "results that are live were flagged by their gate",
    Topic.ACCURACY: "a model's accuracy went up or down within a day",
    Topic.SILENCES: "what is silenced, by whom, why and until when: every Monday",
}
