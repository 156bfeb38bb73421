"""Teams on the command line."""

from uuid import UUID, uuid4

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_a_team_is_made_listed_renamed_and_deleted(acme: Run) -> None:
    assert "There is no team yet" in acme("teams", "list").err
    id = UUID(acme("teams", "create", "Sales").out.strip())
    support = acme("teams", "create", "Support", "--json").data
    assert "is now called Sales NZ" in acme("teams", "rename", "sales", "Sales NZ").err
    assert acme("teams", "rename", id, "Sales AU", "--json").data["name"] == "Sales AU"
    listed = acme("teams", "list").out
    assert listed.index("Sales AU") < listed.index("Support")
    assert [team["id"] for team in acme("teams", "list", "--json").data["data"]] == [str(id), support["id"]]
    assert "The team Support is deleted." in acme("teams", "delete", "SUPPORT", "--yes").err
    assert [team["id"] for team in acme("teams", "list", "--json").data["data"]] == [str(id)]


def test_mistakes_are_told(acme: Run) -> None:
    acme("teams", "create", "Sales")
    assert "Another team has this name." in acme("teams", "create", "SALES", fails=1).err
    assert "name: must have something to be read" in acme("teams", "create", " ", fails=1).err
    for nobody in ("Nobody", uuid4()):
        assert "There is no team" in acme("teams", "rename", nobody, "X", fails=1).err
        assert "There is no team" in acme("teams", "delete", nobody, "--yes", fails=1).err
    assert "nobody to ask: add --yes" in acme("teams", "delete", "Sales", fails=2).err
