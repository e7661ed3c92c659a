"""Every error that Heliograph raises on purpose, and what its reader should do.

    HeliographError
    ├── ConfigError        fix the settings, the command line or the machine; exit code 2
    ├── Retryable          the same call may succeed later
    │   ├── RateLimited      wait ``retry_after_s`` first
    │   └── VenueTimeout     no answer came; for an order the outcome is unknown
    ├── Permanent          the same call will never succeed
    │   ├── SymbolGone       the venue does not list the symbol (any more)
    │   └── Rejected         the venue refused the order
    ├── DataError          stored or received data breaks its contract
    │   ├── GapFound         candles are missing where none may be missing
    │   ├── SchemaMismatch   a table, page or checkpoint has another shape than declared
    │   ├── CorruptPart      a lake part does not hold the bytes that its name promises
    │   └── LookAhead        something was read before it was known
    └── InvariantBroken    Heliograph itself is wrong: halt, with the story of what happened

Adapters translate foreign exceptions into these at the border (``raise … from e``); upper layers
add where they were with ``e.add_note("while fetching …")``.
"""


class HeliographError(Exception):
    """Root of the tree above."""


class ConfigError(HeliographError):
    """The settings or the machine are wrong; the message says which value to change."""


class Retryable(HeliographError):
    """The same call may succeed later."""


class RateLimited(Retryable):
    """The venue asks to slow down.

    Attributes:
        retry_after_s: seconds to wait before the next call.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_rate_limited, (str(self), self.retry_after_s)


def _rebuild_rate_limited(message: str, retry_after_s: float) -> RateLimited:
    return RateLimited(message, retry_after_s=retry_after_s)


class VenueTimeout(Retryable):
    """No answer came in time; the outcome of the call is unknown."""


class Permanent(HeliographError):
    """The same call will never succeed."""


class SymbolGone(Permanent):
    """The venue does not list the symbol."""


class Rejected(Permanent):
    """The venue refused the order."""


class DataError(HeliographError):
    """Stored or received data breaks its contract."""


class GapFound(DataError):
    """Candles are missing where none may be missing."""


class SchemaMismatch(DataError):
    """A table, page or checkpoint has another shape than declared."""


class CorruptPart(DataError):
    """A lake part does not hold the bytes that its name promises."""


class LookAhead(DataError):
    """Something was read before it was known."""


class InvariantBroken(HeliographError):
    """Heliograph itself is wrong; halt and keep the story."""
