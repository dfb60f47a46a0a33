"""What begins with a slash is not for the model."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from promptmill.chat.conversation import Conversation
from promptmill.errors import ConfigurationError
from promptmill.files import atomic_write

HELP = {
    "/reset": "forget the conversation; the system message stays",
    "/system TEXT": 'set the system message; alone: show it; "": none',
    "/undo": "take the last prompt and its answer back",
    "/save FILE.jsonl": "write every prompt so far as --prompts reads them",
    "/help": "this",
    "Ctrl-C": "stop the answer",
    "Ctrl-D": "leave",
    "//...": "a prompt that begins with a slash",
}
WORDS = tuple(name.split()[0] for name in HELP if name.startswith("/") and name != "//...")


def is_order(line: str) -> bool:
    """Whether a line is for the program."""
    return line.startswith("/") and not line.startswith("//")


class Orders:
    """Carries orders out on a conversation; each answers with what to tell the user."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._saved: set[Path] = set()

    def carry_out(self, line: str) -> str:
        """What to say about it.

        Raises:
            ConfigurationError: there is no such order, or it cannot be carried out as it is.
            StorageError: a file cannot be written.
        """
        name, _, rest = line.partition(" ")
        rest = rest.strip()
        if name == "/system":
            return self._system(rest)
        if name == "/save":
            return self._save(rest)
        plain = {"/reset": self._reset, "/undo": self._undo, "/help": _help}.get(name)
        if plain is None:
            close = difflib.get_close_matches(name, WORDS, n=1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise ConfigurationError(
                f"There is no command {name}.{hint} The commands are {', '.join(WORDS)}. "
                "A prompt that begins with a slash is written with two."
            )
        if rest:
            raise ConfigurationError(f"{name} takes nothing after it; write {name} alone.")
        return plain()

    def _reset(self) -> str:
        count = len(self._conversation.turns)
        self._conversation.reset()
        return f"{_turns(count)} forgotten."

    def _undo(self) -> str:
        turn = self._conversation.undo()
        if turn is None:
            return "There is nothing to take back."
        return f"Taken back: {_short(turn.prompt)} and its answer."

    def _system(self, text: str) -> str:
        conversation = self._conversation
        if not conversation.is_chat:
            raise ConfigurationError("This model has no chat template, and so no system message.")
        if not text:
            return f"The system message is: {conversation.system}" if conversation.system else "No system message."
        conversation.system = None if text == '""' else text
        kept = f" {_turns(len(conversation.turns))} kept; /reset forgets them." if conversation.turns else ""
        return f"{'System message set' if conversation.system else 'No system message'} from now on.{kept}"

    def _save(self, name: str) -> str:
        if not name:
            raise ConfigurationError("/save needs a file's name, as in /save chat.jsonl.")
        path = Path(name).expanduser()
        if path.suffix.lower() not in (".jsonl", ".ndjson"):
            raise ConfigurationError(f"/save {name}: --prompts knows a format by its ending; write {path.stem}.jsonl.")
        if not self._conversation.turns:
            raise ConfigurationError("There is nothing to save yet.")
        if path.exists() and path.absolute() not in self._saved:
            raise ConfigurationError(f"{path} is there already, and not of this chat; name another file.")
        rows = [turn.row() for turn in self._conversation.turns]
        with atomic_write(path) as temporary:
            temporary.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
        self._saved.add(path.absolute())
        return f"{len(rows)} {'prompt' if len(rows) == 1 else 'prompts'} in {path}; in a run: --prompts {path}"


def _help() -> str:
    width = max(map(len, HELP))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in HELP.items())


def _turns(count: int) -> str:
    return f"{count} {'turn' if count == 1 else 'turns'}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= 40 else f"'{line[:39]}…'"
