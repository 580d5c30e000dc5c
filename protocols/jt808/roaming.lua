-- SPDX-License-Identifier: Apache-2.0
-- Over datagrams a terminal is an address, and translators on its way give it another one when
-- it was quiet for a while. What it says next comes from a stranger, but names its phone: it is
-- bound again without a login, as far as `roaming` lets it. Commands follow the binding, and an
-- address is easily forged: so by default only the port may have changed.
local tg = require "tidegate"
local auth = require "auth"

local M = {}

local function key(device) return "from/" .. device end

local function host(peer) return peer:match "^(.*):%d+$" end

--- It has logged in from here.
function M.remember(conn, device, who, config)
  if conn.transport ~= "udp" or config.roaming == "login" then return end
  tg.kv.set(key(device), host(conn.peer) .. "\n" .. (who.tenant or ""),
    { ttl = auth.lifetime(config) })
end

function M.forget(device) tg.kv.del(key(device)) end

--- @return table? attributes of a terminal that may go on from here without a login
function M.recall(conn, device, config)
  if conn.transport ~= "udp" or config.roaming == "login" then return nil end
  local from, tenant = (tg.kv.get(key(device)) or ""):match "^(.*)\n(.*)$"
  if not from or config.roaming == "port" and from ~= host(conn.peer) then return nil end
  if auth.flapping(device, config) then return nil end
  return { tenant = tenant ~= "" and tenant or nil }
end

return M
