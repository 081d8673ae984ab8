"""How a field of the schema is described: a sentence, a unit, a range with its reason, a default with its reason."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta

Text: TypeAlias = Annotated[str, Meta(min_length=1)]


def about(
    text: str,
    *,
    unit: str = "",
    default: str = "",
    because: str = "",
    example: Any = None,
    secret: bool = False,
    required: bool = False,
    steps: bool = False,
    nulls: bool = False,
    codes: bool = False,
) -> Meta:
    """The note on a field.

    `default` says why the default is what it is, and where TRL's or the Trainer's differs; `because` why the range ends
    where it does. `secret`: never printed. `required`: something has to be given. `steps`: below 1 a share of the run,
    from 1 a whole number of steps. `codes`: the keys are codes of rules about a run. `nulls`: null is a value.
    """
    return Meta(
        description=text,
        extra={
            "unit": unit,
            "default": default,
            "because": because,
            "example": example,
            "secret": secret,
            "required": required,
            "steps": steps,
            "nulls": nulls,
            "codes": codes,
        },
    )
