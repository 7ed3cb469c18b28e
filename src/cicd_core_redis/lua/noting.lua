-- Keep what elapsed time has come to, every tenth of a second: whoever takes over goes on from there.
--
-- Reads do so too, since those who have just come know nothing else. A server that is full, or that
-- lacks replicas, must not be kept from what it can still do.
local NOTE = 100000
if NOW ~= SERVER + OFFSET or NOW >= NOTED + NOTE then
  redis.pcall('HSET', KEYS[1], 'offset', digits(NOW - SERVER), 'noted', digits(NOW))
end
