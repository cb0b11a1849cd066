"""What Redis does in one step: Lua scripts and the layout of keys and values they work on.

Keys of one slot share what stands in braces. The *root* of a workspace holds marks, notes, the lock and what is to be applied;
rows lie in BUCKETS, each a slot of its own, so that a cluster spreads them. A bucket of a table is one hash: an empty field
says that it is whole, and a bucket that was evicted or lost has none. A value is event time, revision, number of its
write (24 bytes), then the packed row.
"""

import struct
import zlib
from collections.abc import Sequence

BUCKETS = 128
"""Hashes that the rows of a table are spread over; what a cluster can share out at most."""
HEAD = struct.Struct(">qqq")
MARKER = b""
"""The field of a bucket that says it is whole."""


class Keys:
    """The names of a workspace's keys."""

    def __init__(self, prefix: str, project: str) -> None:
        self._name = f"{prefix}:{project}"
        root = f"{{{self._name}}}"
        self.marks, self.notes = f"{root}:marks", f"{root}:notes"
        self.lock, self.redo, self.fences = f"{root}:lock", f"{root}:redo", f"{root}:fences"
        self._rows: dict[str, tuple[str, ...]] = {}

    def work(self, name: str) -> str:
        """Who does the long work of this name."""
        return f"{{{self._name}}}:work:{name}"

    def fence(self, bucket: int) -> str:
        """The number of the last commit that was applied to a bucket."""
        return f"{{{self._name}:{bucket}}}:fence"

    def rows(self, generation: str) -> tuple[str, ...]:
        """The hashes of a table, by bucket."""
        known = self._rows.get(generation)
        if known is None:
            if len(self._rows) > 100:  # of tables long gone
                self._rows.clear()
            names = (f"{{{self._name}:{bucket}}}:{generation}" for bucket in range(BUCKETS))
            known = self._rows[generation] = tuple(names)
        return known

    def written(self, generation: str, bucket: int) -> str:
        """The numbers of the writes of a bucket's rows, of a table that is followed."""
        return f"{self.rows(generation)[bucket]}:written"


def bucket_of(key: bytes) -> int:
    """Where a row lies."""
    return zlib.crc32(key) % BUCKETS


# Takes the turn, and gives all that is small: KEYS lock, marks, notes, redo; ARGV token, milliseconds.
BEGIN = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return false end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {redis.call('HGETALL', KEYS[2]), redis.call('SMEMBERS', KEYS[3]), redis.call('HGETALL', KEYS[4])}
"""

# The point of no return: KEYS lock, marks, notes, redo, fences; ARGV token, commits as they were, number, then counted lists:
# marks and values, marks to drop, notes, notes to erase, touched buckets, buckets and what is to be applied to them.
# Gives false where somebody else has committed since, else the number of the last commit of each touched bucket.
COMMIT = """
if (redis.call('HGET', KEYS[2], 'commits') or '') ~= ARGV[2] then return false end
local at = 4
local function each(width, act)
  local count = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, count do act(at); at = at + width end
end
redis.call('HSET', KEYS[2], 'commits', ARGV[3], 'writer', ARGV[1])
each(2, function(n) redis.call('HSET', KEYS[2], ARGV[n], ARGV[n + 1]) end)
each(1, function(n) redis.call('HDEL', KEYS[2], ARGV[n]) end)
each(1, function(n) redis.call('SADD', KEYS[3], ARGV[n]) end)
each(1, function(n) redis.call('SREM', KEYS[3], ARGV[n]) end)
local last = {}
each(1, function(n)
  last[#last + 1] = redis.call('HGET', KEYS[5], ARGV[n]) or '0'
  redis.call('HSET', KEYS[5], ARGV[n], ARGV[3])
end)
each(2, function(n) redis.call('HSET', KEYS[4], ARGV[n], ARGV[n + 1]) end)
return last
"""

# Applies a commit to one bucket, once: KEYS fence, root's marks or the fence again, then hash and set of writes of each table;
# ARGV number, number of the commit before it or '', token or '', then op, table, field, value of each change.
# Gives 1 where it is applied, 0 where the commit did not happen, -1 where the bucket has lost what was written before.
APPLY = """
if ARGV[3] ~= '' and redis.call('HGET', KEYS[2], 'writer') ~= ARGV[3] then return 0 end
local fence, number = tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])
if fence >= number then return 1 end
redis.call('SET', KEYS[1], ARGV[1])
if ARGV[2] ~= '' and fence ~= tonumber(ARGV[2]) then return -1 end
for n = 4, #ARGV, 4 do
  local op, table, field, value = ARGV[n], 3 + 2 * tonumber(ARGV[n + 1]), ARGV[n + 2], ARGV[n + 3]
  local rows, written = KEYS[table], KEYS[table + 1]
  if op == 'drop' then
    redis.call('UNLINK', rows, written)
  elseif op == 'make' then
    redis.call('HSET', rows, '', '1')
  elseif op == 'delete' then
    redis.call('HDEL', rows, field)
    redis.call('ZREM', written, field)
  else
    local event, revision, write = struct.unpack('>i8i8i8', value)
    local older = false
    if op == 'newest' or op == 'newest followed' then
      local stored = redis.call('HGET', rows, field)
      if stored then
        local at, of = struct.unpack('>i8i8', stored)
        older = event < at or (event == at and revision < of)
      end
    end
    if not older then
      redis.call('HSET', rows, field, value)
      if op == 'newest followed' or op == 'set followed' then redis.call('ZADD', written, write, field) end
    end
  end
end
return 1
"""

# Ends the turn: KEYS lock, redo; ARGV token, number of the commit that is applied or ''.
FINISH = """
if ARGV[2] ~= '' and redis.call('HGET', KEYS[2], 'number') == ARGV[2] then redis.call('DEL', KEYS[2]) end
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
"""

# Goes on with a long work: KEYS work; ARGV token, milliseconds.
RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


def pack_list(parts: Sequence[bytes]) -> bytes:
    """Byte strings as one."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def unpack_list(packed: bytes) -> list[bytes]:
    """Read what :func:`pack_list` wrote."""
    parts, at = [], 0
    while at < len(packed):
        length = int.from_bytes(packed[at : at + 4], "big")
        parts.append(packed[at + 4 : at + 4 + length])
        at += 4 + length
    return parts
