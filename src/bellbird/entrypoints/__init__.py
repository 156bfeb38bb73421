"""The doors' common ground: HTTP, the command line. It knows the engine and no feature."""
