"""`python -m prodml` is the command line."""

from prodml.cli.main import main

main()
