"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Bps = Annotated[float, Field(ge=0.0, le=1_000.0)]
EpochMs = Annotated[int, Field(ge=0, description="UTC epoch milliseconds")]


class Section(BaseModel):
    """A frozen part of the settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")
