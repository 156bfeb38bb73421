"""Call accounts: with which provider a tenant calls, and the numbers that it calls from and is called at."""

__all__: list[str] = []
