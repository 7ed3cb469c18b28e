-- What the scripts that only read share.

-- How many bytes of bodies a script may still read: it holds up every other client meanwhile, and so
-- does its answer those who share the connection.
local bytes_left = 1048576

local function decoded(collection, key)
  local found = call('HMGET', record_key(collection, key), 'b', 'h')
  if not found[2] then return nil end
  local header = unpacked(collection, key, found[2])
  if not found[1] then error('it has no body', 0) end
  bytes_left = bytes_left - #found[1]
  return is_live(header) and {key, found[1], header} or nil
end

-- {key, body, header} of a record that exists, or nil; or nil and {key, why it does not decode}.
local function read(collection, key)
  local decodes, found = pcall(decoded, collection, key)
  if decodes then return found end
  return nil, {key, reason(found)}
end
