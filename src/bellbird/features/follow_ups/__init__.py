"""Follow-ups: whom to call back, when, and who does it."""

__all__: list[str] = []
