-- Store the elapsed time, every tenth of a second: after a failover, the next server continues
-- there.
--
-- Reads do so too, since a new client has no other bound. A server that is full, or that lacks
-- replicas, must still be able to run the rest of the script.
local NOTE = 100000
if NOW ~= SERVER + OFFSET or NOW >= NOTED + NOTE then
  redis.pcall('HSET', KEYS[1], 'offset', digits(NOW - SERVER), 'noted', digits(NOW))
end
