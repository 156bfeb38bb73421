"""Bellbird: contacts and calls for many tenants, on PostgreSQL."""
