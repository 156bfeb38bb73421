"""The features, in rank order: each may import those before it, none behind it."""

FEATURES = (
    "tenants",
    "roles",
    "teams",
    "users",
    "sessions",
    "keys",
    "operations",
    "contacts",
    "call_accounts",
    "dialling",
    "follow_ups",
    "calls",
    "timeline",
    "audit",
    "live",
)
