"""Fixtures of the tests of users."""

from tests.people import cheap_passwords, verifications  # noqa: F401 - fixtures
