"""How prompts become tokens: the rules that a run keeps, the trial of a chat template, and the tokens."""

from promptmill.rendering.renderer import LeftOut, Renderer
from promptmill.rendering.rules import EARLIEST, NEWEST, Rendering

__all__ = ["EARLIEST", "NEWEST", "LeftOut", "Renderer", "Rendering"]
