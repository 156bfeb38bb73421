"""Teams: who works together, and under the visibility `team` sees each other's records.

A team has a name; who is in it is said of each user.
"""

from bellbird.features.teams.actions import create, delete, update
from bellbird.features.teams.models import NewTeam, Team, TeamNameTaken, TeamNotFound, TeamPatch
from bellbird.features.teams.queries import called, get, hold, page

__all__ = [
    "NewTeam",
    "Team",
    "TeamNameTaken",
    "TeamNotFound",
    "TeamPatch",
    "called",
    "create",
    "delete",
    "get",
    "hold",
    "page",
    "update",
]
