"""Twilio's signatures, compared with its own library and with the examples that it publishes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from bellbird.providers.twilio.signing import is_body_signed, is_signed, sign

# The examples of Twilio's libraries in every language.
TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = [
    ("CallSid", "CA1234567890ABCDE"), ("Digits", "1234"), ("From", "+14158675309"), ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]  # fmt: skip
SIGNATURE = "RSOYDt4T1cUTdK1PDd93/VVr8B8="
BODY = b'{"property": "value", "boolean": true}'
HASH = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"


def test_the_published_example_is_signed() -> None:
    assert sign(TOKEN, URL, FORM) == SIGNATURE
    assert is_signed(TOKEN, URL, FORM, SIGNATURE)
    assert is_signed(TOKEN, URL, FORM[::-1], SIGNATURE)


def test_a_name_that_comes_twice_counts_with_each_of_its_values() -> None:
    form = [("Sid", "CA123"), ("SidAccount", "AC123"), ("Digits", "5678"), ("Digits", "1234"), ("Digits", "1234")]
    assert is_signed(TOKEN, URL, form, "IK+Dwps556ElfBT0I3Rgjkr1wJU=")


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (URL.replace(".com", ".com:1234"), SIGNATURE),  # signed without its port
        (URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),  # with it
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),  # with 443
        (URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),  # with 80
    ],
)
def test_with_its_port_and_without_a_url_is_signed(url: str, signature: str) -> None:
    assert is_signed(TOKEN, url, FORM, signature)


def test_a_body_is_signed_by_its_hash_in_the_url() -> None:
    url = f"{URL}&bodySHA256={HASH}"
    assert is_body_signed(TOKEN, url, BODY, "a9nBmqA0ju/hNViExpshrM61xv4=")
    assert not is_body_signed(TOKEN, url, BODY + b" ", "a9nBmqA0ju/hNViExpshrM61xv4=")
    assert not is_body_signed(TOKEN, URL, BODY, sign(TOKEN, URL)), "a body without a hash is anybody's"


def test_a_changed_letter_anywhere_is_seen() -> None:
    for place in range(len(URL)):
        changed = URL[:place] + ("x" if URL[place] != "x" else "y") + URL[place + 1 :]
        assert not is_signed(TOKEN, changed, FORM, SIGNATURE)
    for place in range(len(SIGNATURE)):
        changed = SIGNATURE[:place] + ("x" if SIGNATURE[place] != "x" else "y") + SIGNATURE[place + 1 :]
        assert not is_signed(TOKEN, URL, FORM, changed)
    for index, (name, value) in enumerate(FORM):
        for other in ((name, value + "0"), (name + "0", value), (name, value[:-1])):
            assert not is_signed(TOKEN, URL, [*FORM[:index], other, *FORM[index + 1 :]], SIGNATURE)
        assert not is_signed(TOKEN, URL, [*FORM[:index], *FORM[index + 1 :]], SIGNATURE)
    for signature in ("", "é", SIGNATURE.lower(), SIGNATURE + "=", SIGNATURE[:-1], "\udcff"):
        assert not is_signed(TOKEN, URL, FORM, signature)
    assert not is_signed("12346", URL, FORM, SIGNATURE)


class Several(dict[str, list[str]]):
    """What Django hands to Twilio's library."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


hosts = st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z](:[1-9][0-9]{0,3})?", fullmatch=True)
paths = st.from_regex(r"(/[a-z0-9]{1,5}){0,4}", fullmatch=True)
queries = st.from_regex(r"(\?[a-zA-Z0-9%=&+._~-]{1,40})?", fullmatch=True)
words = st.text(st.characters(codec="utf-8"), max_size=20)


@settings(max_examples=300)
@example("https", "mycompany.com", "/myapp.php", "?foo=1&bar=2", [("Digits", "1"), ("Digits", "1")], "12345")
@given(
    st.sampled_from(["https", "http"]), hosts, paths, queries,
    st.lists(st.tuples(words, words), max_size=8), words.filter(len),
)  # fmt: skip
def test_twilios_own_library_agrees(
    scheme: str, host: str, path: str, query: str, form: list[tuple[str, str]], token: str
) -> None:
    url, theirs = f"{scheme}://{host}{path}{query}", RequestValidator(token)
    params = Several({name: [value for other, value in form if other == name] for name, _ in form})
    signature = theirs.compute_signature(url, params)
    assert sign(token, url, form) == signature
    assert is_signed(token, url, form, signature)
    assert theirs.validate(url, params, sign(token, url, form))
    for port in (443, 80):
        other = f"{scheme}://{host.partition(':')[0]}:{port}{path}{query}"
        signature = theirs.compute_signature(other, params)
        assert is_signed(token, url, form, signature) == theirs.validate(url, params, signature)
