"""Which partition a person's records are in: the choice that Kafka's own producers make for a key."""

from functools import lru_cache

_SEED, _FACTOR, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


@lru_cache(maxsize=100_000)
def partition_of(person: str, partitions: int) -> int:
    """The partition of ``person`` (murmur2 of its UTF-8 bytes), as the Java client and Kafka Connect choose it."""
    return (murmur2(person.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """Austin Appleby's MurmurHash2 with the seed that Kafka's clients use; 32 bits."""
    length = len(data)
    whole = length & ~3
    digest = _SEED ^ length
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _FACTOR & _MASK
        word = (word ^ word >> 24) * _FACTOR & _MASK
        digest = (digest * _FACTOR & _MASK) ^ word
    if whole < length:
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _MASK
    digest = (digest ^ digest >> 13) * _FACTOR & _MASK
    return digest ^ digest >> 15
