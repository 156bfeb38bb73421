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
    "timeline",
    "audit",
    "live",
)
