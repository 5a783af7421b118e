"""Secrets by reference: `env:NAME` or `file:/path`; the value is read on use."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Final, Self
from urllib.parse import quote, quote_plus

from prodml.errors import ConfigError

_ENVIRONMENT: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
_FILE: Final = re.compile(r"file:(/[^\x00-\x1f\x7f]+)")

REFUSED: Final = (
    "a secret must be a reference, env:NAME or file:/absolute/path, not the value itself; "
    "the input is not shown"
)
REFUSED_TYPE: Final = "secret_reference"
"""The type of the pydantic error; messages omit the input of errors of this type."""

_HIDDEN: Final = "***"
_SHORTEST_LINE: Final = 8
"""Minimum length of a line of a secret, such as a private key, for it to be hidden separately."""


class Secret:
    """A reference to a secret: `env:NAME` or `file:/absolute/path`.

    Spec, lineage, logs and `repr` contain only the reference. As the type of a pydantic field, of a
    component's `Parameter[Secret]` or of a pipeline's parameter, it accepts the reference as text.

    Args:
        reference: the reference, or another Secret to copy.

    Raises:
        ConfigError: the text is not a reference; the message does not show the text.
    """

    __slots__ = ("_reference",)

    def __init__(self, reference: str | Secret) -> None:
        text = str(reference) if isinstance(reference, Secret) else reference
        if not is_reference(text):
            raise ConfigError(REFUSED)
        self._reference: Final = text

    @property
    def reference(self) -> str:
        """`env:NAME` or `file:/path`."""
        return self._reference

    def reveal(self) -> str:
        """Reads the value, and makes `redact` hide it from now on.

        One newline at the end of a file is removed.

        Raises:
            ConfigError: the variable is not set, the file cannot be read, or either is empty.
        """
        kind, _, place = self._reference.partition(":")
        value = self._variable(place) if kind == "env" else self._content(place)
        if not value:
            raise ConfigError(f"secret {self} is empty")
        _remember(value)
        return value

    def _variable(self, name: str) -> str:
        if name not in os.environ:
            raise ConfigError(f"secret {self}: the environment variable {name} is not set")
        return os.environ[name]

    def _content(self, path: str) -> str:
        try:
            with open(path, encoding="utf-8", newline="") as file:
                text = file.read()
        except OSError as error:
            raise ConfigError(f"secret {self} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"secret {self} cannot be read: the file is not UTF-8 text") from None
        return text.removesuffix("\n").removesuffix("\r")

    def __repr__(self) -> str:
        return f"Secret({self._reference!r})"

    def __str__(self) -> str:
        return self._reference

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._reference == self._reference

    def __hash__(self) -> int:
        return hash((Secret, self._reference))

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self._reference,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Imported here, so that importing prodml does not import pydantic.
        from pydantic_core import PydanticCustomError, core_schema

        def checked(given: object) -> Secret:
            if isinstance(given, Secret):
                return given
            if not is_reference(given):
                raise PydanticCustomError(REFUSED_TYPE, REFUSED)
            return Secret(str(given))

        return core_schema.no_info_plain_validator_function(
            checked,
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )


def is_reference(given: object) -> bool:
    """Whether a value is `env:NAME` or `file:/absolute/path`."""
    return isinstance(given, str) and bool(_ENVIRONMENT.fullmatch(given) or _FILE.fullmatch(given))


def redact(text: str) -> str:
    """Replaces every secret that this process has revealed with `***`.

    This covers the value itself, its spellings in `repr`, JSON and URLs, and each of its longer
    lines.
    """
    # The longest first, because one secret can be part of another.
    for value in sorted(_revealed, key=len, reverse=True):
        text = text.replace(value, _HIDDEN)
    return text


_revealed: dict[str, None] = {}
"""The spellings of all revealed values; global, because they must be hidden in all output."""


def _remember(value: str) -> None:
    lines = [line for line in value.splitlines() if len(line) >= _SHORTEST_LINE]
    for text in (value, *lines):
        for spelling in (
            text,
            repr(text)[1:-1],
            json.dumps(text)[1:-1],
            quote(text, safe=""),
            quote_plus(text),
        ):
            _revealed[spelling] = None
