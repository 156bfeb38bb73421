"""Making, renaming and deleting teams. Who is in one is said of each user."""

from dataclasses import replace
from typing import Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core import ids
from bellbird.core.engine import Tx
from bellbird.core.errors import VersionMismatch
from bellbird.core.events import Event
from bellbird.features.teams import naming
from bellbird.features.teams.models import NewTeam, Team, TeamNotFound, TeamPatch
from bellbird.features.teams.queries import GET

INSERT = """
insert into teams (tenant_id, id, name, name_key, created_at, updated_at)
values ($1, $2, $3, $4, $5, $5)
"""


async def create(tx: Tx, new: NewTeam) -> Team:
    """Add a team and record `team.created`. Raises InvalidInput, TeamNameTaken."""
    tx.require("teams:write")
    await tx.writable()
    now = tx.clock.now()
    team = Team(ids.uuid7(now), naming.clean(new.name), 0, 1, now, now)
    tx.queue(INSERT, tx.tenant_id, team.id, team.name, naming.key(team.name), now)
    tx.emit(Event("team.created", team.id, changes={"name": (None, team.name)}))
    return team


UPDATE = """
update teams
set name = $3, name_key = $4, version = version + 1, updated_at = $5
where tenant_id = $1 and id = $2
"""


async def update(tx: Tx, id: UUID, patch: TeamPatch, *, version: int | None = None) -> Team:
    """Rename a team and record `team.updated`; a patch that changes nothing writes nothing.

    Raises TeamNotFound, InvalidInput, TeamNameTaken, and VersionMismatch when `version` is given and no longer the
    current one.
    """
    tx.require("teams:write")
    team = await _locked(tx, id, version)
    name = team.name if patch.name is UNSET else naming.clean(patch.name)
    if name == team.name:
        return team
    changed = replace(team, name=name, version=team.version + 1, updated_at=tx.clock.now())
    tx.queue(UPDATE, tx.tenant_id, id, name, naming.key(name), changed.updated_at)
    tx.emit(Event("team.updated", id, changes={"name": (team.name, name)}))
    return changed


DELETE = "delete from teams where tenant_id = $1 and id = $2"

# After the lock: who puts somebody in the team holds it until that is committed.
LEAVE = """
update memberships
set team_ids = array_remove(team_ids, $2), version = version + 1, updated_at = $3
where tenant_id = $1 and team_ids @> array[$2::uuid]
returning id
"""


async def delete(tx: Tx, id: UUID, *, version: int | None = None) -> None:
    """Delete a team, take everybody out of it and record `team.deleted` with who they were.

    Raises TeamNotFound, VersionMismatch.
    """
    tx.require("teams:write")
    team = await _locked(tx, id, version)
    left = await tx.all(LEAVE, tx.tenant_id, id, tx.clock.now())
    tx.queue(DELETE, tx.tenant_id, id)
    data = {"members": sorted(row[0] for row in left)}
    tx.emit(Event("team.deleted", id, changes={"name": (team.name, None)}, data=data))
    tx.access_changed()


LOCK: Final = f"{GET} for update of t"


async def _locked(tx: Tx, id: UUID, version: int | None) -> Team:
    """The team, which may be written to, locked until the transaction ends."""
    asked = tx.queue(LOCK, tx.tenant_id, id)
    await tx.writable()
    if not asked.rows:
        await tx.flush()
    if not asked.rows:
        raise TeamNotFound(f"There is no team {id}.")
    team = Team(*asked.rows[0])
    if version is not None and version != team.version:
        raise VersionMismatch(
            f"The team is at version {team.version}; your change was made to version {version}.", current=team
        )
    return team
