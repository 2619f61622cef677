"""The answer of operations that have nothing to tell but a sentence."""

from __future__ import annotations

from ..model import Model, model


@model
class Message(Model):
    """A sentence from Kelviq; many such answers come without any.

    Attributes:
        message: The sentence, or None where the answer was empty.
    """

    message: str
