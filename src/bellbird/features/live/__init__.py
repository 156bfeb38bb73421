"""The live stream: whoever has signed in follows what happens in the tenant, as far as they may see it.

Over server-sent events or a WebSocket, in the log's order; whoever was cut off goes on after the last event they had.
"""

__all__: list[str] = []
