-- Write nothing if a right is missing: it may have been removed since the store was opened.
need_to_write()
if #forbidden > 0 then
  return redis.error_reply('NOPERM a script needs ' .. table.concat(forbidden, ', ')
    .. ', or their keys or channels; no part of it was run')
end
