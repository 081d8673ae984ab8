"""One row, looked at by itself: its layout, its pattern of roles, and what is wrong with it, most fundamental first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from trainguard.facts.data.records import ProblemKind
from trainguard.facts.data.roles import CALLS, PART, Pattern
from trainguard.facts.data.tokens import TokenFinder

Where: TypeAlias = tuple[str | int, ...]
_PARTS = {
    "messages": ("messages",),
    "sharegpt": ("conversations",),
    "prompt-completion": ("prompt", "completion"),
    "kto": ("prompt", "completion"),
    "preference": ("prompt", "chosen", "rejected"),
    "text": ("text",),
    "prompt": ("prompt",),
    "tokens": (),
}
# The parts of a text content, as processors of transformers 5.23 and trl 1.16 (prepare_multimodal_messages) take them.
_SPEAKERS = ("user", "assistant")
# What rows are counted as that a repair mends, and contents whose text is elsewhere.
WRONG_COLUMN = "'conversations' of role and content"
REFUSAL = ", the text in 'refusal'"


class Fault(NamedTuple):
    """One thing that is wrong with a row: `where` is the way to it in the JSON, `name` what it is counted as."""

    kind: ProblemKind
    where: Where
    detail: str
    name: str = ""


class Judged(NamedTuple):
    """A row's layout (None: none that a trainer takes), its pattern of roles (None: no conversation), its faults."""

    layout: str | None
    pattern: Pattern | None
    faults: list[Fault]


class _WrongError(Exception):
    """A fault that leaves nothing else to judge."""

    def __init__(self, kind: ProblemKind, where: Where, detail: str, name: str = "") -> None:
        super().__init__(detail)
        self.fault = Fault(kind, where, detail, name)


def judge_row(row: Mapping[str, Any], tokens: TokenFinder) -> Judged:
    """Judges all but the pattern of roles, which is judged once for all rows that share it. Raises nothing."""
    layout = layout_of(row)
    if layout is None:
        return Judged(None, None, [_no_layout(row)])
    faults: list[Fault] = []
    roles: list[str] = [layout]
    chats = 0
    plain = layout != "sharegpt"
    try:
        present = [name for name in _PARTS[layout] if row.get(name) is not None]
        for at, name in enumerate(present):
            value = row[name]
            if isinstance(value, str) and layout not in ("messages", "sharegpt"):
                # SFTTrainer of trl 1.16 trains a completion after an empty prompt; a prompt alone is all there is.
                if (not value or value.isspace()) and (name != "prompt" or len(present) == 1):
                    faults.append(Fault("empty-content", (name,), f"{name!r} is empty", name))
                continue
            if not isinstance(value, list) or layout == "text":
                raise _wrong_type(layout, name, value)
            if not value:
                raise _WrongError("messages-empty", (name,), f"{name!r} is an empty list", name)
            chats += 1
            if at and len(roles) > 1:
                roles.append(PART)
            for i, message in enumerate(value):
                # Most messages are like this, even of rows with a fault.
                if plain and message.__class__ is dict and len(message) == _PAIR:
                    role, content = message.get("role"), message.get("content")
                    if role.__class__ is str and content.__class__ is str and tokens.harmless(content):
                        roles.append(role)
                        continue
                roles.append(_message(layout, message, (name, i), faults, tokens))
    except _WrongError as wrong:
        return Judged(layout, None, [wrong.fault])
    # Two faults of one row are told apart only where neither hides the other; content of a wrong type hides the rest.
    wrong_type = [fault for fault in faults if fault.kind == "content-not-string"]
    return Judged(layout, tuple(roles) if chats else None, wrong_type[:1] or faults)


_PAIR = 2


def place_of(row: Mapping[str, Any], layout: str, message: int) -> Where:
    """Where in the row a message of its pattern is, counted over all its parts."""
    for name in _PARTS[layout]:
        value = row.get(name)
        if isinstance(value, list):
            if message < len(value):
                return (name, message)
            message -= len(value)
    return ()


def layout_of(row: Mapping[str, Any]) -> str | None:
    """The layout by the names of the columns that are not null; None where no trainer knows what to do with them."""
    get = row.get
    if get("messages") is not None:
        return "messages"
    conversations = get("conversations")
    if conversations is not None and not _of_roles(conversations):
        return "sharegpt"
    if get("chosen") is not None and get("rejected") is not None:
        return "preference"
    if get("prompt") is not None and get("completion") is not None:
        return "kto" if get("label") is not None else "prompt-completion"
    if get("input_ids") is not None:
        return "tokens"
    if get("text") is not None:
        return "text"
    return "prompt" if get("prompt") is not None and get("completion", 0) is not None else None


def _of_roles(conversations: Any) -> bool:
    """Whether messages of role and content are in a column that trl 1.16 looks for messages of from and value in.

    SFTTrainer renames the column to `messages` only together with these keys (sft_trainer.py, _prepare_dataset:
    is_conversational_from_value); else it reads the other columns of the row, or stops with KeyError('text').
    """
    first = conversations[0] if isinstance(conversations, list) and conversations else None
    return isinstance(first, dict) and "role" in first and "from" not in first


def lacks_name_alone(row: Mapping[str, Any]) -> bool:
    """Whether the row would be a chat if its column `conversations` were named `messages`."""
    conversations = row.get("conversations")
    if "messages" in row or not isinstance(conversations, list) or not _of_roles(conversations):
        return False
    if not all(isinstance(each, dict) and "role" in each for each in conversations):
        return False
    return layout_of(row) is None and not any(each.keys() & {"from", "value"} for each in conversations)


def _message(layout: str, message: Any, where: Where, faults: list[Fault], tokens: TokenFinder) -> str:
    """The role of a message as a pattern has it; notes what is wrong with its content."""
    speaker, said = ("from", "value") if layout == "sharegpt" else ("role", "content")
    if not isinstance(message, dict):
        raise _WrongError("messages-missing", where, f"a message is {_name(message)}, not an object", "not an object")
    role = message.get(speaker)
    if role is None:
        keys = ", ".join(repr(key) for key in list(message)[:6]) or "no keys"
        raise _WrongError(
            "messages-missing", where, f"a message without {speaker!r} (it has {keys})", f"no {speaker!r}"
        )
    if not isinstance(role, str):
        raise _WrongError("unknown-role", (*where, speaker), f"{speaker!r} is {_name(role)}", f"<{_name(role)}>")
    content = message.get(said)
    calls = bool(message.get("tool_calls") or message.get("function_call"))
    place = (*where, said) if said in message else where
    if isinstance(content, str):
        if (not content or content.isspace()) and role in _SPEAKERS and not calls:
            faults.append(Fault("empty-content", place, f"{said!r} of {role!r} is empty", role))
        elif (token := tokens.first(content)) is not None:
            faults.append(Fault("template-token-in-content", place, f"holds {token[0]!r}", token[0]))
    elif isinstance(content, list):
        faults.extend(_parts(content, place, role, calls, tokens))
    elif content is not None:
        faults.append(Fault("content-not-string", place, f"{said!r} is {_name(content)}", _name(content)))
    elif not calls:
        name = "null" if said in message else "missing"
        detail = f"{said!r} of {role!r} is {name}"
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            # OpenAI's API reference, chat completion object: message.refusal, beside a content of null.
            detail += f"; its text is in 'refusal': move it into {said!r}"
            name += REFUSAL
        faults.append(Fault("content-not-string", place, detail, name))
    return role + CALLS if calls and role == "assistant" else role


def _parts(content: list[Any], where: Where, role: str, calls: bool, tokens: TokenFinder) -> Iterator[Fault]:
    """The parts of a multimodal content."""
    if not content and role in _SPEAKERS and not calls:
        yield Fault("empty-content", where, f"content of {role!r} is an empty list", role)
    for i, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            name = "list of " + _name(part) if not isinstance(part, dict) else "part without 'type'"
            yield Fault("content-not-string", (*where, i), f"part {i} of a content is no typed part: {name}", name)
            return
        text = part.get("text")
        if part["type"] == "text":
            if not isinstance(text, str):
                yield Fault("content-not-string", (*where, i), f"'text' of a text part is {_name(text)}", "text part")
                return
            if (token := tokens.first(text)) is not None:
                yield Fault("template-token-in-content", (*where, i, "text"), f"holds {token[0]!r}", token[0])
                return


def _wrong_type(layout: str, name: str, value: Any) -> _WrongError:
    if layout in ("messages", "sharegpt"):
        return _WrongError(
            "messages-missing", (name,), f"{name!r} is {_name(value)}, not a list of messages", f"{name!r} no list"
        )
    return _WrongError("content-not-string", (name,), f"{name!r} is {_name(value)}", _name(value))


# What rows without a layout often are, by a key that they have: what to do about it.
_HINTS = (
    ({"instruction", "output"}, "Alpaca: prompt = instruction + input, completion = output"),
    ({"instruction", "response"}, "prompt = instruction, completion = response"),
    ({"question", "answer"}, "prompt = question, completion = answer"),
    ({"input", "output"}, "prompt = input, completion = output"),
    ({"prompt", "response"}, "completion = response"),
    ({"query", "response"}, "prompt = query, completion = response"),
    ({"message"}, "did you mean 'messages'?"),
    ({"conversation"}, "did you mean 'conversations', or 'messages'?"),
    ({"dialogue"}, "did you mean 'messages'?"),
    ({"dialog"}, "did you mean 'messages'?"),
    ({"Messages"}, "did you mean 'messages'?"),
    ({"content"}, "did you mean 'text'?"),
)


def _no_layout(row: Mapping[str, Any]) -> Fault:
    keys = [key for key, value in row.items() if value is not None]
    if _of_roles(row.get("conversations")):
        name = WRONG_COLUMN if lacks_name_alone(row) else ", ".join(keys[:6])
        detail = "messages of role and content in 'conversations'; rename the column to \"messages\""
        return Fault("messages-missing", ("conversations",), detail, name)
    hint = next((hint for wanted, hint in _HINTS if wanted <= set(keys)), "")
    if "prompt" in row and "completion" in row and not hint:
        hint = "'completion' is null" if row.get("prompt") is not None else "'prompt' is null"
    elif "chosen" in keys or "rejected" in keys:
        hint = hint or "'chosen' needs 'rejected'"
    if not hint and len(keys) <= _FEW:
        within = next(
            (key for key in keys if isinstance(row[key], list) and row[key] and isinstance(row[key][0], dict)), ""
        )
        hint = f"the rows seem to be under {within!r}: load_dataset(..., field={within!r})" if within else ""
    nulls = [key for key in _PARTS_NAMES if key in row and row[key] is None]
    if not hint and nulls:
        hint = f"{nulls[0]!r} is null"
    shown = ", ".join(repr(key) for key in keys[:6]) or "none"
    more = f" and {len(keys) - 6} more" if len(keys) > 6 else ""
    return Fault("messages-missing", (), f"keys {shown}{more}" + (f"; {hint}" if hint else ""), ", ".join(keys[:6]))


_FEW = 4  # a document about rows has few keys
_PARTS_NAMES = ("messages", "conversations", "prompt", "completion", "text", "chosen", "rejected")


def _name(value: Any) -> str:
    """The JSON name of a value's type."""
    if value is None:
        return "null"
    for kind, name in ((bool, "bool"), ((int, float), "number"), (str, "string"), (list, "list"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return type(value).__name__
