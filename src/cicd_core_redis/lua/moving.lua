-- In a Cluster: end here while the namespace's slot moves to another node, key by key.
--
-- A script that came upon a key that has gone already would end in its midst, and leave a commit
-- half applied. Where a slot moves, the server refuses any key that is not here; this one never is.
call('EXISTS', PREFIX .. 'nothing')
