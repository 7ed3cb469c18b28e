-- Tell which of the commands that the store needs are forbidden to its user.
--
-- A script ends at the first command that its user may not run, and what it wrote before stays: a
-- commit would be half applied. So this is asked when a store is opened; nothing is run by it.
-- ARGV: '1' if writes are confirmed by replicas.
-- Answer: nothing, where others tell the time; the forbidden commands.

take() -- what the caller knows of the time: the clock is not read here
take()
local forbidden = {''}

local function need(...)
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  if not (known and allowed) then forbidden[#forbidden + 1] = (...) end
end

local record, index, held = record_key('-', '-'), PREFIX .. 'i:-', holders('-', '-')
local log, counters = PREFIX .. 'log', PREFIX .. 'n:-'
need('EVAL', 'return 1', 1, KEYS[1])
need('EVALSHA', '-', 1, KEYS[1])
need('TIME')
need('HSETNX', KEYS[1], '-', '-')
need('HGET', record, '-')
need('HMGET', KEYS[1], 'offset', 'noted')
need('HMGET', record, '-')
need('HSET', record, '-', '-')
need('HINCRBY', counters, '-', 1)
need('HGETALL', counters)
need('DEL', record)
need('EXISTS', log)
need('ZADD', index, 0, '-')
need('ZREM', index, '-')
need('ZCARD', index)
need('ZRANGE', index, 0, 0)
need('ZRANGEBYSCORE', PREFIX .. 'expiring', 0, 0)
need('SADD', held, '-')
need('SREM', held, '-')
need('SMEMBERS', held)
need('XADD', log, '*', '-', '-')
need('XLEN', log)
need('XRANGE', log, '-', '+')
need('XTRIM', log, 'MAXLEN', '=', 0)
need('XINFO', 'STREAM', log)
need('SPUBLISH', index, '-')
need('SSUBSCRIBE', index)
need('SUNSUBSCRIBE', index)
if take() == '1' then need('WAIT', 1, 1) end
return forbidden
