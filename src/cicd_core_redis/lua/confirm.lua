#!lua flags=allow-oom
-- Write something, for WAIT to look back from: also where no memory is left for anything else.
return redis.call('HSET', KEYS[1], 'confirmed', 1)
