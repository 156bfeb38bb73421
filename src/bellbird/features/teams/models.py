"""The shapes of a team: as it is read, as it is made, as it is changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import events, topics
from bellbird.core.errors import Conflict, NotFound, describe_faults, translate_constraint

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Team:
    """People who work together; `members` is how many of them still work in the tenant."""

    id: UUID
    name: str
    members: int
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTeam:
    """A team to be made; no two of a tenant have names that differ in case alone."""

    name: str

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamPatch:
    """A change to a team, as a JSON merge patch (RFC 7396): what is left out stays."""

    name: str | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class TeamNotFound(NotFound):
    """There is no such team."""

    code = "team_not_found"


class TeamNameTaken(Conflict):
    """Another team has this name."""

    code = "team_name_taken"


translate_constraint("teams_name_unique", TeamNameTaken)

describe_faults({"unknown_team": "There is no such team."})

topics.recorded("team.created", "team.updated", "team.deleted")
events.readable("team", "teams:read")
