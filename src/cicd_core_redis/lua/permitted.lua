-- Write nothing where a right is missing: it may have gone since the store was opened.
need_to_write()
if #forbidden > 0 then
  return redis.error_reply('NOPERM a script needs ' .. table.concat(forbidden, ', ')
    .. ', or their keys or channels; nothing of it was run')
end
