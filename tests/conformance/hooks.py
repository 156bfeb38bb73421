"""What schemathesis cannot know from the description: values of our own formats, what there is, what is needed."""

import itertools
import os
from collections import defaultdict
from contextlib import suppress
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("phone", st.from_regex(r"04[0-9]{2} [0-9]{3} [0-9]{3}|\+6421[0-9]{7}", fullmatch=True))
schemathesis.openapi.format("country", st.sampled_from(["AU", "NZ", "GB", "us"]))
schemathesis.openapi.format("timezone", st.sampled_from(["Australia/Sydney", "Pacific/Auckland", "UTC"]))
schemathesis.openapi.format("locale", st.sampled_from(["en-AU", "mi-NZ", "de", "zh-Hant-TW"]))

# What makes a contact one, and what it can be recognised by.
NEEDED: dict[str, dict[str, Any]] = {
    "POST /api/v1/contacts": {"company": "Acme"},
    "POST /api/v1/call-accounts": {"provider": "mock", "secret": "a secret of some length"},
    "POST /api/v1/calls": {"to": "0412 345 678"},
    "POST /api/v1/dial-decisions": {"number": "0412 345 678"},
    "POST /api/v1/follow-ups": {"number": "0412 345 678"},
    "PUT /api/v1/contacts": {
        "emails": [{"address": "ann@acme.com.au"}],
        "phones": [{"number": "0412 345 678"}],
        "external_id": "crm-1",
    },
}
ROLES = ("owner", "admin", "manager", "agent", "viewer")

# The ids of what there is in each collection, and what else can be made there.
present: dict[str, list[str]] = defaultdict(list)
MAKING: dict[str, dict[str, Any]] = {
    "/api/v1/contacts": {"company": "Acme"},
    "/api/v1/call-accounts": {"provider": "mock", "identifier": "mock-{number}", "secret": "a secret of some length"},
    "/api/v1/dial-decisions": {"number": "0412 345 678"},
    "/api/v1/follow-ups": {"number": "0412 345 678", "due_at": "2027-01-11T10:00:00+11:00"},
    "/api/v1/opt-outs": {"number": "0412 345 679"},
    "/api/v1/keys": {"name": "Import", "scopes": ["contacts:read"]},
    "/api/v1/teams": {"name": "Team {number}"},
    "/api/v1/users": {"email": "user-{number}@acme.com.au", "name": "Ann Lee", "role": "agent"},
}
numbers = itertools.count(1)


@schemathesis.hook
def after_call(context: schemathesis.HookContext, case: schemathesis.Case, response: schemathesis.Response) -> None:
    """Remember what there is."""
    collection, _, below = case.operation.path.partition("/{id}")
    if response.status_code == 201:
        with suppress(ValueError, KeyError, TypeError):
            present[collection].append(response.json()["id"])
    elif response.status_code == 204 and below in ("", "/purge"):
        with suppress(ValueError, KeyError, TypeError):
            present[collection].remove(case.path_parameters["id"])


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    """Ask every other time for something that there is: schemathesis's own way to do so ends a phase too early."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        drawn = UUID(path_parameters["id"]).int
        if drawn % 2 and (known := something(context.operation.path.partition("/{id}")[0])):
            return {**path_parameters, "id": known[-1 - drawn % len(known)]}
    return path_parameters


def something(collection: str) -> list[str]:
    """The latest ids of a collection; one is made where there is none."""
    if not present[collection] and collection in MAKING:
        body = {name: fill(value) for name, value in MAKING[collection].items()}
        token = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
        answer = httpx.post(os.environ["URL"] + collection, json=body, headers=token).raise_for_status()
        present[collection].append(answer.json()["id"])
    return present[collection][-20:]


def fill(value: Any) -> Any:
    return value.format(number=next(numbers)) if isinstance(value, str) else value


@schemathesis.hook
def filter_query(context: schemathesis.HookContext, query: Any) -> bool:
    """What is longer than 64 kB never reaches the application: uvicorn refuses it in its own words."""
    return len(urlencode(query or {}, doseq=True)) < 60_000


@schemathesis.hook
def map_query(context: schemathesis.HookContext, query: Any) -> Any:
    """A live stream is asked for what is there already: else it would go on until the request times out."""
    if context.operation.path.endswith("/events/stream"):
        seconds = (query or {}).get("seconds")
        is_long = seconds is None or str(seconds).isdigit()
        return {**(query or {}), "seconds": 0} if is_long else query
    return query


@schemathesis.hook
def map_headers(context: schemathesis.HookContext, headers: Any) -> Any:
    """A key is for one thing: every tenth time only it is sent again, and then most often with another request."""
    key = (headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and 0 < len(key) < 240 and key.isascii() and key.isprintable():
        return {**headers, "Idempotency-Key": f"{key}-{next(numbers) * 9 // 10}"}
    return headers


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Let what is made have what it needs, so that what else is sent with it is tried too."""
    if not isinstance(body, dict):
        return body
    role = body.get("role")
    if "users" in context.operation.path and isinstance(role, str) and len(role) <= 50 and len(role) % 4:
        body = {**body, "role": ROLES[len(role) % 5]}
    return {**NEEDED.get(context.operation.label, {}), **body}
