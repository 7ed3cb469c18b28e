-- Return the commands that the store needs and that its user may not run.
--
-- ARGV: '1' if replicas confirm writes.
-- Answer: an empty string in place of the time; the forbidden commands.

take() -- the caller's bounds of the time: the clock is not read here
take()
need('EVAL', 'return 1', 1, KEYS[1])
need('EVALSHA', '-', 1, KEYS[1])
need('HSETNX', KEYS[1], '-', '-')
need('HGETALL', counters)
need('HSCAN', counters, 0)
need('SSUBSCRIBE', index)
need('SUNSUBSCRIBE', index)
need_to_write()
if take() == '1' then need('WAIT', 1, 1) end
return {'', unpack(forbidden)}
