"""May I call? What the law, the tenant and whoever is to be called say about it, with the evidence."""

__all__: list[str] = []
