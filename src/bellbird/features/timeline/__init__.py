"""The timeline: all that happened to a contact, newest first, whatever kind of thing it was.

Today these are the events of the log; calls, notes and messages join by adding a source (core/timeline.py).
"""

from bellbird.core.timeline import Entry
from bellbird.features.timeline.queries import page

__all__ = ["Entry", "page"]
