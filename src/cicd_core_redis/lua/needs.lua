-- Checks the user's right to each command that the store needs, with a key of each kind, without
-- running the command.
--
-- A script ends at the first command that its user may not run, and its earlier writes stay.
local forbidden = {}

local function need(...)
  local known, allowed = pcall(redis.acl_check_cmd, ...)
  if not (known and allowed) then forbidden[#forbidden + 1] = (...) end
end

local record, index, held = record_key('-', '-'), PREFIX .. 'i:-', holders('-', '-')
local log, counters = PREFIX .. 'log', PREFIX .. 'n:-'

local function need_to_write() -- all commands of the scripts that write
  need('TIME')
  need('HGET', KEYS[1], '-')
  need('HSET', KEYS[1], '-', '-')
  need('GET', record)
  need('GETRANGE', record, 0, 0)
  need('STRLEN', record)
  need('SET', record, '-')
  need('SETRANGE', record, 0, '-')
  need('DEL', record)
  need('ZCARD', index)
  need('ZRANGE', index, 0, 0)
  need('ZADD', index, 0, '-')
  need('ZREM', index, '-')
  need('SPUBLISH', index, '-')
  need('SMEMBERS', held)
  need('SADD', held, '-')
  need('SREM', held, '-')
  need('ZRANGEBYSCORE', PREFIX .. 'expiring', 0, 0)
  need('XLEN', log)
  need('XRANGE', log, '-', '+')
  need('XADD', log, '*', '-', '-')
  need('XTRIM', log, 'MAXLEN', '=', 0)
  need('EXISTS', log)
  need('XINFO', 'STREAM', log)
  need('HINCRBY', counters, '-', 1)
  need('HMGET', KEYS[1], 'offset', 'noted')
end
