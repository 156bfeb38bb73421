"""The operator's commands, apart from those that serve."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core import doctor, migrate
from bellbird.core.clock import SystemClock
from bellbird.entrypoints.tokens import Tokens
from tests.command_line import SECRET, Run, acme, cli, cli_settings  # noqa: F401 - fixtures


def test_settings_come_with_their_source_and_without_secrets(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_PORT", "8001")
    rows = {each["name"]: each for each in cli("settings", "--json").data}
    assert rows["BELLBIRD_PORT"]["value"] == "8001"
    assert rows["BELLBIRD_PORT"]["source"] == "environment"
    assert rows["BELLBIRD_HOST"]["source"] == "default"
    assert rows["BELLBIRD_SECRET"]["value"] == "(hidden)"
    table = cli("settings").out
    assert SECRET not in table
    assert "the port `bellbird serve` listens on" in table


def test_migrate_may_be_run_twice(cli: Run, clone: str) -> None:
    assert "as it was" in cli("migrate").err
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute("update alembic_version set version_num = '0000'")
    assert "run `bellbird migrate`" in cli("tenants", "list", fails=1).err
    assert "run `bellbird migrate`" in cli("serve", "--port", "18999", fails=1).err


def test_only_the_token_goes_to_stdout(acme: Run) -> None:
    user = uuid4()
    ran = acme("token", "--user", user, "--valid", "30d")
    token = ran.out.strip()
    assert ran.out == f"{token}\n"
    claims = Tokens(SECRET, SystemClock()).claims(token)
    assert claims is not None
    assert (claims.subject, claims.roles, claims.scopes, claims.visibility) == (str(user), ("owner",), None, None)
    assert f"For user {user} of acme" in ran.err
    answered = acme("token", "--tenant", "acme", "--json").data
    assert answered["tenant"] == "acme"
    soon = datetime.now(UTC) + timedelta(hours=12)
    assert abs(datetime.fromisoformat(answered["expires_at"]) - soon) < timedelta(minutes=1)


def test_a_token_may_name_roles_scopes_and_how_far_it_sees_or_leave_all_to_the_membership(acme: Run) -> None:
    def said(*options: object) -> Any:
        return Tokens(SECRET, SystemClock()).claims(acme("token", *options).out.strip())

    claims = said("--role", "agent", "--role", "helper", "--scope", "contacts:read", "--visibility", "own")
    assert (claims.roles, claims.scopes, claims.visibility) == (("agent", "helper"), {"contacts:read"}, "own")
    assert said("--user", uuid4(), "--as-member").roles is None
    assert "goes with --user" in acme("token", "--as-member", fails=2).err
    assert "contacts:sing: no such permission" in acme("token", "--scope", "contacts:sing", fails=2).err


def test_a_length_of_time_needs_a_number_and_a_unit(acme: Run) -> None:
    for valid in ("30", "0d", "d", "1y", "-1h", "999999d"):
        assert "such as 30m, 12h or 30d" in acme("token", f"--valid={valid}", fails=2).err


def test_the_tenant_is_named_set_or_the_only_one(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no tenant yet" in cli("token", fails=1).err
    cli("tenants", "create", "acme")
    assert "of acme" in cli("token").err
    cli("tenants", "create", "kauri")
    assert "Say which tenant is meant with --tenant: acme, kauri." in cli("token", fails=1).err
    assert "There is no tenant kaury; there are: acme, kauri." in cli("token", "--tenant", "kaury", fails=1).err
    monkeypatch.setenv("BELLBIRD_TENANT", "kauri")
    assert "of kauri" in cli("token").err


def test_the_doctor_finds_nothing_wrong_with_a_sound_deployment(cli: Run) -> None:
    states = {each["name"]: each["state"] for each in cli("doctor", "--json").data["data"]}
    # The tests log in as superuser, and no worker runs.
    assert {name for name, state in states.items() if state != "ok"} == {"login", "worker"}
    assert states["login"] == states["worker"] == "warning"
    assert {"database", "clock", "migrations", "row-level security", "partitions", "pooler"} <= states.keys()


def test_the_doctor_says_what_is_wrong_and_what_to_do(cli: Run, clone: str) -> None:
    this_month = f"events_default_{datetime.now(UTC):%Y_%m}"
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute("alter table contacts no force row level security")
        owner.execute("create table stray (tenant_id uuid, id uuid)")
        owner.execute(f"drop table {this_month}".encode())
    ran = cli("doctor", fails=1)
    assert "contacts, stray" in ran.out
    assert "Run `bellbird migrate`, once a month." in ran.out
    assert "2 of 16 checks failed." in ran.err


def test_the_doctor_knows_a_database_that_was_never_set_up(cli: Run, clone: str) -> None:
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute("drop table alembic_version")
    found = {each["name"]: each for each in cli("doctor", "--json", fails=1).data["data"]}
    assert found["migrations"]["finding"] == f"at nothing, needed is {migrate.latest()}"
    assert found["migrations"]["advice"] == "Run `bellbird migrate`."


def test_the_doctor_lists_settings_that_cannot_be_used(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_PORT", "none")
    (check,) = cli("doctor", "--json", fails=1).data["data"]
    assert check["state"] == "failed"
    assert check["finding"].startswith("BELLBIRD_PORT")


def test_the_doctor_stops_at_a_database_that_is_away(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_DATABASE_URL", "postgresql://127.0.0.1:1/bellbird")
    checks = cli("doctor", "--json", fails=1).data["data"]
    assert [each["state"] for each in checks] == ["ok", "failed"]


def test_the_doctor_warns_of_more_connections_than_the_server_has(clone: str) -> None:
    checks = doctor.examine(clone, embedded=False, connections=10_000, prepared_statements=True)
    assert next(each for each in checks if each.name == "connections").state == "warning"
