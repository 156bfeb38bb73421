"""Call providers that come with Bellbird."""
