"""`python -m bellbird` is the `bellbird` command."""

from bellbird.cli import main

main()
