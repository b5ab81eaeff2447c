"""The command line: `reactnet VERB`. The only part of the package that talks to a terminal."""
