"""`python -m minilab` is the command `lab`."""

from minilab.cli import main

main()
