"""The one exception that says what is wrong and what to do about it."""


class ReactnetError(Exception):
    """A mistake in what was given to the library: input, file, recipe or option.

    `problem` says where and what, with the value found; `hint` says what to do. The command line prints both and
    exits with 2. Anything else that escapes the library is a bug of ours.
    """

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.problem} (hint: {self.hint})"
