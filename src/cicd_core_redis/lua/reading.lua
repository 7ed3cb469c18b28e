-- The common part of the scripts that only read.

-- How many bytes of bodies a script may still read: a script blocks all other clients while it
-- runs, and its answer delays the calls that share the connection.
local bytes_left = 1048576

local function decoded(collection, key)
  local found = call('HMGET', record_key(collection, key), 'b', 'h')
  if not found[2] then return nil end
  local header = unpacked(collection, key, found[2])
  if not found[1] then error('it has no body', 0) end
  bytes_left = bytes_left - #found[1]
  return is_live(header) and {key, found[1], header} or nil
end

-- {key, body, header} of a record that exists, or nil; or nil and {key, error} if it does not
-- decode.
local function read(collection, key)
  local decodes, found = pcall(decoded, collection, key)
  if decodes then return found end
  return nil, {key, reason(found)}
end
