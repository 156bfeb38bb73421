"""The operator's commands: run the server, set it up, check it, sign in. Each module is a command."""
