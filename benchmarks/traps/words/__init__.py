"""Tables of English words that the generator of training pairs draws from; written for this project."""


def word_set(source: str) -> frozenset[str]:
    """The words of `source`, parted by white space."""
    return frozenset(source.split())
