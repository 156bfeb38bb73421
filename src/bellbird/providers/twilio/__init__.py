"""Twilio: calls by its REST API, callbacks with its signatures."""
