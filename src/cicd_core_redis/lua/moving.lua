-- In a cluster: end here while the namespace's slot moves to another node, key by key.
--
-- A script that met a key which has already moved would end in the middle, and leave a commit half
-- applied. While a slot moves, the server refuses any key that it does not have; this key never
-- exists.
call('EXISTS', PREFIX .. 'nothing')
