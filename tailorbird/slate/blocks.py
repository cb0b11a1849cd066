"""What many requests leave out for one reason: made for one, kept for the next."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from tailorbird.models.allowed import Blocked

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Block:
    """Items that many requests leave out for one reason: ``mask`` (n,) bool, ``count`` of them."""

    def __init__(self, mask: np.ndarray) -> None:
        self.mask, self.count = mask, int(np.count_nonzero(mask))


class Blocks:
    """Blocks that were asked for lately, and what they are together: the oldest go."""

    def __init__(self, *, capacity: int = 16) -> None:
        self._capacity, self._lock = capacity, threading.Lock()
        self._blocks: OrderedDict[Hashable, Block] = OrderedDict()
        self._joined: OrderedDict[tuple[Block, ...], Blocked] = OrderedDict()

    def kept(self, key: Hashable, make: Callable[[], Block]) -> Block:
        """The block of ``key``, made where it is not at hand."""
        return self._found(self._blocks, key, make)

    def joined(self, blocks: tuple[Block, ...], *, count: int) -> Blocked:
        """The blocks together, over ``count`` rows."""

        def join() -> Blocked:
            code = np.zeros(count, np.uint8)
            for number in range(len(blocks), 0, -1):
                code[blocks[number - 1].mask] = number
            return Blocked(code)

        return self._found(self._joined, blocks, join)

    def _found(self, kept: "OrderedDict[Key, Value]", key: Key, make: Callable[[], Value]) -> Value:
        with self._lock:
            found = kept.get(key)
            if found is not None:
                kept.move_to_end(key)
                return found
        made = make()
        with self._lock:
            kept[key] = made
            while len(kept) > self._capacity:
                kept.popitem(last=False)
        return made
