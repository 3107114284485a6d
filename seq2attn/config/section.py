"""What the sections of a configuration share: strictness, and ranges of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

PositiveInt = Annotated[int, Field(gt=0)]
# Sizes are limited far above any use, so that a typo is an error instead of running out of memory.
Width = Annotated[int, Field(gt=0, le=65_536)]
Count = Annotated[int, Field(gt=0, le=1024)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """Frozen; rejects unknown keys, NaN and infinities. The docstring under a field describes it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=False, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _can_be_written(cls, value: object) -> object:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
                raise ValueError("contains NUL or a lone surrogate, which cannot be written to a file")
        return value
