"""`python -m minirun` is the command `minirun`."""

from minirun.cli.main import main

main()
