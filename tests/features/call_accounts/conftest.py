"""A provider that is nobody: it looks at what it is given and does nothing."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from bellbird.app import Bellbird
from bellbird.core.engine import Engine
from bellbird.core.errors import Fault, InvalidInput
from bellbird.features.call_accounts import Line, NewCallAccount

SECRET = "a-secret-of-theirs-0123456789"


class Nobody:
    """A provider whose accounts begin with N and whose secrets are long."""

    name = "nobody"

    def check(self, identifier: str, secret: str, options: Mapping[str, Any]) -> None:
        faults = []
        if not identifier.startswith("N"):
            faults.append(Fault("invalid_value", "must begin with N", pointer="/identifier"))
        if len(secret) < 10:
            faults.append(Fault("invalid_value", "is too short", pointer="/secret"))
        faults += [
            Fault("unknown_field", "there is no such option", pointer=f"/options/{name}")
            for name in options
            if name != "edge"
        ]
        if faults:
            raise InvalidInput(faults=faults)

    async def close(self) -> None:
        """It has nothing."""


def new(identifier: str = "N1", *numbers: str | Line, **more: Any) -> NewCallAccount:
    lines = tuple(each if isinstance(each, Line) else Line(each) for each in numbers)
    return NewCallAccount(
        **{"provider": "nobody", "identifier": identifier, "secret": SECRET, "numbers": lines, **more}
    )


@pytest.fixture(autouse=True)
def nobody(engine: Engine, bellbird: Bellbird) -> Iterator[None]:
    for each in (engine, bellbird.engine):
        each.providers.add(Nobody())  # type: ignore[arg-type]
    yield
    for each in (engine, bellbird.engine):
        each.providers._made.pop("nobody")
