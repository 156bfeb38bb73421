"""Calls over HTTP: all of their routes."""

from typing import Final

from bellbird.features.calls import callbacks_rest, history_rest, placing_rest

ROUTES: Final = (*placing_rest.ROUTES, *history_rest.ROUTES, *callbacks_rest.ROUTES)
