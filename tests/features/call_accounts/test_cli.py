"""Call accounts on the command line; secrets come from a file or a prompt, and are not printed."""

from pathlib import Path
from typing import Any

import pytest

from bellbird.core import telephony
from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures
from tests.features.call_accounts.conftest import SECRET, Nobody


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command opens a Bellbird of its own, which finds its providers by itself."""
    get = telephony.Providers.get

    def found(self: telephony.Providers, name: str) -> Any:
        return Nobody() if name == "nobody" else get(self, name)

    monkeypatch.setattr(telephony.Providers, "get", found)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text(f"{SECRET}\n")
    return path


def test_an_account_is_connected_shown_changed_and_disconnected(acme: Run, secret_file: Path) -> None:
    connected = acme(
        "call-accounts", "connect", "nobody", "N1", "--name", "Main", "--number", "02 9374 4000=Front desk",
        "--option", "edge=sydney", "--secret-file", secret_file,
    )  # fmt: skip
    id = connected.out.strip()
    assert "Main is connected." in connected.err
    shown = acme("call-accounts", "show", "Main")
    assert "+61293744000 Front desk" in shown.out
    assert f"{id}/voice" in shown.out
    (listed,) = acme("call-accounts", "list", "--json").data["data"]
    assert (listed["id"], listed["options"]) == (id, {"edge": "sydney"})
    assert acme("call-accounts", "show", id, "--json").data == listed
    assert "+61293744000" in acme("call-accounts", "list").out

    changed = acme(
        "call-accounts", "set", "Main", "--status", "paused", "--add", "08 9224 0000=Perth", "--remove",
        "+61293744000", "--option", "edge=null", "--json",
    ).data  # fmt: skip
    assert (changed["status"], changed["options"]) == ("paused", {})
    assert [(line["number"], line["label"]) for line in changed["numbers"]] == [("+61892240000", "Perth")]
    assert "is as it was" in acme("call-accounts", "set", id, "--status", "paused").err
    assert "is changed" in acme("call-accounts", "set", id, "--secret-file", "-", input="another-secret\n").err
    for ran in (connected, shown):
        assert SECRET not in ran.out + ran.err
    assert "Main is disconnected." in acme("call-accounts", "disconnect", "Main", "--yes").err
    assert "There is no call account yet" in acme("call-accounts", "list").err


def test_mistakes_are_told(acme: Run, secret_file: Path) -> None:
    assert "nobody to ask for the secret" in acme("call-accounts", "connect", "nobody", "N1", fails=2).err
    said = acme(
        "call-accounts", "connect", "nobody", "X1", "--number", "12", "--option", "speed=1", "--secret-file",
        secret_file, fails=1,
    ).err  # fmt: skip
    assert "identifier: must begin with N" in said
    assert "numbers.0.number:" in said
    assert "options.speed: there is no such option" in said
    said = acme("call-accounts", "connect", "pigeon", "X1", "--secret-file", secret_file, fails=1).err
    assert "provider: there is no provider 'pigeon'" in said
    assert "There is no call account Main; there are: none yet." in acme("call-accounts", "show", "Main", fails=1).err
    acme("call-accounts", "connect", "nobody", "N1", "--name", "Main", "--secret-file", secret_file)
    assert "none of its numbers" in acme("call-accounts", "set", "Main", "--remove", "+61", fails=2).err
    assert "must be NAME=VALUE" in acme("call-accounts", "set", "Main", "--option", "x", fails=2).err
    for name in ("N2", "N3"):
        acme("call-accounts", "connect", "nobody", name, "--name", "Two", "--secret-file", secret_file)
    assert "2 accounts are called Two" in acme("call-accounts", "show", "Two", fails=1).err
