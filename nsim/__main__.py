"""`python -m nsim`: the command line, where no `nsim` is on the path."""

from nsim.cli.main import main

main()
