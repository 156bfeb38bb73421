"""Twilio: calls placed by its REST API, what becomes of them told by its callbacks, each signed.

Twilio calls the contact first, and connects them with the agent when they answer.
"""

from bellbird.providers.twilio.provider import Twilio

__all__ = ["Twilio"]
