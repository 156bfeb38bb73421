"""A telephony simulator: calls that take the course a scenario tells, with every misbehaviour of real providers."""
