"""The dataset card: README.md with the metadata that the Hub and `datasets` read.

It holds nothing that differs between two runs of the same settings (no times, no host names), so
that a run that was interrupted ends in the very bytes of one that was not.
"""

from promptmill.card.command import command
from promptmill.card.making import made_with
from promptmill.card.metadata import CardOptions
from promptmill.card.text import PICTURE, card_text, interim_card

__all__ = ["PICTURE", "CardOptions", "card_text", "command", "interim_card", "made_with"]
