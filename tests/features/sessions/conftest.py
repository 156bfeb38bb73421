"""Fixtures of the tests of sessions."""

from tests.people import cheap_passwords, verifications  # noqa: F401 - fixtures
