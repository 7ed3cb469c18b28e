#!lua flags=allow-oom
-- Make a write that WAIT can cover, even if the server's memory is full.
return redis.call('HSET', KEYS[1], 'confirmed', 1)
