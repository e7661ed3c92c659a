"""Events and commands as canonical JSON and back, exactly: decimals keep their digits, floats their bits."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from decimal import Decimal
from typing import Any, get_args, get_origin, get_type_hints

from heliograph.core.commands import Command
from heliograph.core.errors import InvariantBroken
from heliograph.core.events import Event

Entry = Event | Command


def encode(entry: Entry) -> str:
    """One line of JSON with its keys in order; equal entries give equal text.

    >>> from heliograph.core.events import KillSwitched
    >>> encode(KillSwitched(ts_ms=1, reason="by hand"))
    '{"reason":"by hand","ts_ms":1,"type":"KillSwitched"}'
    """
    values = {f.name: getattr(entry, f.name) for f in fields(entry)}
    return json.dumps(
        {"type": type(entry).__name__, **values}, sort_keys=True, separators=(",", ":"), default=_decimal_text
    )


def decode(text: str) -> Entry:
    """The entry that `encode` was given.

    Raises:
        InvariantBroken: the text is no entry.
    """
    try:
        values = json.loads(text)
        made, restore = _KINDS[values.pop("type")]
        entry: Entry = made(**{name: restore[name](value) for name, value in values.items()})
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as e:
        raise InvariantBroken(f"a journal entry can't be read: {text[:200]!r}") from e
    return entry


def _decimal_text(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in a journal")


def _same(value: Any) -> Any:
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _restorer(hint: Any) -> Callable[[Any], Any]:
    if hint is Decimal:
        return Decimal
    return _tuples if get_origin(hint) is tuple else _same


_KINDS: Mapping[str, tuple[Callable[..., Entry], Mapping[str, Callable[[Any], Any]]]] = {
    kind.__name__: (kind, {name: _restorer(hint) for name, hint in get_type_hints(kind).items()})
    for kind in (*get_args(Event), *get_args(Command))
}
