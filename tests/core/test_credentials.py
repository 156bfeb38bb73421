"""API keys, refresh tokens and invitations as text: what is made is read again, and nothing else is."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core import credentials
from bellbird.core.credentials import NoCredential


@given(st.uuids(), st.uuids(), st.sampled_from(["live", "refresh", "invite"]))
def test_what_is_made_is_read_again(tenant_id: UUID, id: UUID, kind: credentials.Kind) -> None:
    made = credentials.make(kind, tenant_id, id)
    found = credentials.read(kind, made.text)
    assert (found.tenant_id, found.id, found.hash) == (tenant_id, id, made.hash)
    assert made.text.startswith(made.prefix)
    assert len(made.prefix) == len(f"bb_{kind}_") + 6


@pytest.mark.parametrize("extreme", [UUID(int=0), UUID(int=2**128 - 1)])
def test_the_first_and_the_last_uuid_fit(extreme: UUID) -> None:
    assert credentials.read("live", credentials.make("live", extreme, extreme).text).id == extreme


def test_no_two_are_alike_and_the_hash_is_all_that_is_kept() -> None:
    tenant_id, id = uuid4(), uuid4()
    made = {credentials.make("live", tenant_id, id).text for _ in range(1000)}
    assert len(made) == 1000
    assert len(credentials.make("live", tenant_id, id).hash) == 32


@given(st.data())
def test_any_one_character_changed_is_seen_without_asking_the_database(data: st.DataObject) -> None:
    text = credentials.make("live", uuid4(), uuid4()).text
    at = data.draw(st.integers(len("bb_live_"), len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda each: each != text[at]))
    with pytest.raises(NoCredential):
        credentials.read("live", text[:at] + other + text[at + 1 :])


@given(st.text())
def test_nothing_else_is_read(text: str) -> None:
    for given_text in (text, "bb_live_" + text):
        with pytest.raises(NoCredential):
            credentials.read("live", given_text)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda text: text[:-1], "not copied whole"),
        (lambda text: text + "A", "not copied whole"),
        (lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), "wrong checksum"),
        (lambda text: text.replace("bb_live_", "bb_refresh_"), "does not begin with bb_live_"),
        (lambda text: text[:20] + "é" + text[21:], "neither letters nor digits"),
        (lambda text: text[:20] + "-" + text[21:], "neither letters nor digits"),
        (lambda text: "bb_live_" + "A" * 1_000_000, "not copied whole"),
    ],
)
def test_the_refusal_says_what_is_wrong(spoil: object, said: str) -> None:
    with pytest.raises(NoCredential, match=said):
        credentials.read("live", spoil(credentials.make("live", uuid4(), uuid4()).text))  # type: ignore[operator]


def test_a_refresh_token_is_no_api_key() -> None:
    with pytest.raises(NoCredential):
        credentials.read("live", credentials.make("refresh", uuid4(), uuid4()).text)
