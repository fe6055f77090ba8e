-- lane_epoch.lua - part of apply.lua: whether the lane is (still) the one the caller thinks of.
--
-- Takes    meta, the key of the lane's meta; m, its epoch and store at least; epoch, the caller's
-- Returns  an error from where it stands

if m.err then
    return redis.error_reply('HGPDAMAGED ' .. meta)
end
if m[1] ~= epoch then
    return redis.error_reply('HGPEPOCH ' .. meta .. ' has epoch ' .. (m[1] or 'none'))
end
if (m[2] or nil) ~= STORE then
    return redis.error_reply('HGPEPOCH ' .. meta .. ' is of store ' .. (m[2] or 'none'))
end
