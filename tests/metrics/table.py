"""Rows expected of a report."""


class Table:
    """Rows expected of a part: dictionaries, told apart by `key`; only the columns named are compared."""

    def __init__(self, key, rows, ordered=False):
        self.key, self.rows, self.ordered = key, rows, ordered
