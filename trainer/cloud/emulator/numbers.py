"""The names that Vertex AI gives: numbers of many digits, each once.

numbers.fresh()          # "7352918465027391488"
"""

import secrets


def fresh(digits: int = 19) -> str:
    """A number that no other resource has."""
    return str(10 ** (digits - 1) + secrets.randbelow(8 * 10 ** (digits - 1)))
