"""BigQuery's FARM_FINGERPRINT of short texts: FarmHash's Fingerprint64 as a signed number.

    fingerprint.of("20039")              # -328012383083104805
    fingerprint.remainder("20039", 4)    # ABS(MOD(FARM_FINGERPRINT('20039'), 4)): 1

The arithmetic is `HashLen0to16` of FarmHash 1.1 (github.com/google/farmhash, src/farmhash.cc, namespace farmhashna),
all modulo 2 to the 64.
"""

from trainer.errors import UsageError


LONGEST = 16  # bytes; longer texts take other, longer ways in FarmHash
K0, K2 = 0xC3A5C85C97CB3127, 0x9AE16A3B2F90404F
MASK = (1 << 64) - 1


def of(text: str) -> int:
    """From -2**63 to 2**63 - 1. A text of more than 16 bytes in UTF-8 raises `UsageError`."""
    content = text.encode()
    if len(content) > LONGEST:
        raise UsageError(f"{text!r}: {len(content)} bytes; expected at most {LONGEST}")
    found = _hash(content)
    return found - (1 << 64) if found >> 63 else found


def remainder(text: str, divisor: int) -> int:
    """ABS(MOD(FARM_FINGERPRINT(text), divisor)), as BigQuery has it.

    Its MOD has the sign of the fingerprint: MOD(-7, 4) is -3 there, where Python's -7 % 4 is 1.
    """
    return abs(of(text)) % divisor


def _hash(content: bytes) -> int:
    size = len(content)
    multiplier = K2 + 2 * size
    if size >= 8:
        first, last = _number(content[:8]) + K2, _number(content[-8:])
        c = _rotated(last, 37) * multiplier + first
        return _mixed(c & MASK, (_rotated(first & MASK, 25) + last) * multiplier & MASK, multiplier)
    if size >= 4:
        return _mixed(size + (_number(content[:4]) << 3), _number(content[-4:]), multiplier)
    if size:
        y = content[0] + (content[size >> 1] << 8)
        z = size + (content[-1] << 2)
        return _shifted((y * K2 ^ z * K0) & MASK) * K2 & MASK
    return K2


def _mixed(first: int, second: int, multiplier: int) -> int:
    """FarmHash's HashLen16."""
    a = _shifted((first ^ second) * multiplier & MASK)
    b = _shifted((second ^ a) * multiplier & MASK)
    return b * multiplier & MASK


def _number(content: bytes) -> int:
    return int.from_bytes(content, "little")


def _rotated(value: int, bits: int) -> int:
    """To the right, in 64 bits."""
    return (value >> bits | value << (64 - bits)) & MASK


def _shifted(value: int) -> int:
    return value ^ value >> 47
