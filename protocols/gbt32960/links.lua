-- SPDX-License-Identifier: Apache-2.0
-- Who may speak on a link: logins of vehicles and platforms, their serials, and whose a VIN
-- is. The newest login of a VIN has it. The host closes a vehicle's old link; on a
-- platform's link, which goes on for others, the VIN's owner is looked up, in keys that all
-- workers share.
local tg = require "tidegate"
local decode = require "decode"
local keys = require "keys"
local quality = require "quality"

local M = {}

local now = tg.time.now
local kv = tg.kv

--- A name for this link among all of the host. Only a platform's keeps it: it is asked for with
--- each report there.
local function token_of(conn) return conn.state.token or ("%x"):format(conn.id) end

--- Whether the VIN's newest login was on this link; also when the shared keys had no room
--- left to say so.
function M.owns(conn, vin)
  local v = conn.state.vehicles[vin]
  return v ~= nil and (not v.shared or kv.get("owner/" .. vin) == token_of(conn))
end

--- Two devices with one VIN would throw each other out for ever.
local function may_take(conn, vin, config)
  local owner = kv.get("owner/" .. vin)
  if not owner or owner == token_of(conn) then return true end
  local key = ("moves/%s/%d"):format(vin, now() // 60000)
  local times = kv.incr(key, 1, { ttl = "2m" })
  if times and times > config.takeovers then return false end
  quality.count "takeovers"
  return true
end

--- Logins are counted from 1 each day, by the day of the login's own time. One of an earlier day
--- than the last is a replay, or the clock went back.
---@return string? flaw
local function check_serial(data, id, time6)
  local serial = data.serial
  if serial < 1 or serial > 65531 then return "serial_out_of_range" end
  if not data.time then return nil end
  local day = tg.hex.encode(time6:sub(1, 3))
  local last_day, last = (kv.get("serial/" .. id) or ""):match "^(%x+):(%d+)$"
  if last and (day < last_day or day == last_day and serial <= tonumber(last)) then
    return "serial_not_increasing"
  end
  kv.set("serial/" .. id, day .. ":" .. serial, { ttl = "2d" })
  return nil
end

local function add_flaw(data, what)
  data.flaws = data.flaws or {}
  for _, flaw in ipairs(data.flaws) do
    if flaw == what then return end
  end
  data.flaws[#data.flaws + 1] = what
end

--- What is wrong with a login before anybody is asked. @return string? kind of answer
local function refusal(conn, msg, config)
  local state = conn.state
  if msg.error then return msg.error, msg.why end
  if config.links == "platform" and state.role ~= "platform" then
    return "error", "vehicles are not taken here"
  end
  local flaw = check_serial(msg.data, msg.device, msg.time6)
  if flaw then add_flaw(msg.data, flaw) end
  if flaw and config.serial == "refuse" then return "error", flaw end
  if not state.vehicles[msg.device] and state.count >= config.max_vehicles then
    return "error", "too many vehicles on one link"
  end
  if not may_take(conn, msg.device, config) then return "duplicate", "too many takeovers" end
end

local function allowed(conn, msg, more)
  local request = { device = msg.device, peer = conn.peer }
  for key, value in pairs(more or {}) do request[key] = value end
  return tg.auth.check(request)
end

function M.prepare(conn)
  local state = conn.state
  if not state.vehicles then state.vehicles, state.count = {}, 0 end
  return state
end

--- Keys are what decode knows of a link's vehicles.
local function keep_keys(conn, device, found)
  local codec = conn.codec
  if not found and not (codec and codec.keys[device]) then return end
  local all = codec and codec.keys or {}
  all[device] = found
  conn.codec = { keys = all }
end

--- A login that nobody could read: auth may have the key of who it says that it is.
---@return table message the login, or what came
function M.unseal(conn, msg, config)
  local who = allowed(conn, msg, { extra = { encrypted = true } })
  local found = who and keys.of(who)
  if not found or not conn.open then return msg end
  keep_keys(conn, msg.device, found)
  local read = decode.decode(msg.sealed, { config = config, codec = conn.codec })
  if read.sealed then keep_keys(conn, msg.device, nil) end
  return read
end

--- Keys of one that was not let in after all.
function M.forget_keys(conn, vin)
  local state = conn.state
  if vin == state.platform or state.vehicles and state.vehicles[vin] then return end
  keep_keys(conn, vin, nil)
end

--- The device leaves this link; its session may live on for a while.
function M.forget(conn, vin)
  local state = conn.state
  if not state.vehicles or not state.vehicles[vin] then return end
  if kv.get("owner/" .. vin) == token_of(conn) then kv.del("owner/" .. vin) end
  quality.left(state.vehicles[vin].q)
  state.vehicles[vin], state.count = nil, state.count - 1
  keep_keys(conn, vin, nil)
end

function M.leave(conn, vin)
  M.forget(conn, vin)
  conn:unbind(vin)
end

function M.forget_all(conn)
  for vin in pairs(conn.state.vehicles or {}) do M.forget(conn, vin) end
end

local function bind(conn, msg, who, config)
  keep_keys(conn, msg.device, keys.of(who))
  local expiry = config.session_expiry / 1000
  return conn:bind(msg.device, { tenant = who.tenant }, { expiry = expiry })
end

local function remember(conn, msg, state)
  local vin = msg.device
  local old = state.vehicles[vin]
  if not old then state.count = state.count + 1 end
  state.vehicles[vin] = {
    shared = kv.set("owner/" .. vin, token_of(conn)) == true,
    serial = msg.data.serial, edition = msg.edition, id = msg.id,
    jobs = old and old.jobs, q = old and old.q or quality.new(vin),
  }
  return true
end

--- @return boolean? ok
--- @return string? kind of answer: "error", "structure", "duplicate", "unknown"
--- @return string? why
function M.login(conn, msg, config)
  local state = M.prepare(conn)
  local kind, why = refusal(conn, msg, config)
  if kind then return nil, kind, why end
  if state.vehicles[msg.device] then return remember(conn, msg, state) end
  local who, err = allowed(conn, msg, { extra = { iccid = msg.data.iccid } })
  if not who then return nil, "unknown", err.message end
  if not conn.open then return nil end
  if state.role ~= "platform" then
    for vin in pairs(state.vehicles) do
      if vin ~= msg.device then M.leave(conn, vin) end
    end
    state.role = "vehicle"
  end
  local ok, failed = bind(conn, msg, who, config)
  if not ok then return nil, "error", failed.message end
  return remember(conn, msg, state)
end

function M.platform_login(conn, msg, config)
  local state = M.prepare(conn)
  if msg.error then return nil, msg.error, msg.why end
  if config.links == "vehicle" then return nil, "error", "platforms are not taken here" end
  local flaw = check_serial(msg.data, msg.device, msg.time6)
  if flaw then add_flaw(msg.data, flaw) end
  if flaw and config.serial == "refuse" then return nil, "error", flaw end
  local who, err = allowed(conn, msg, { user = msg.user, password = msg.password })
  if not who then return nil, "error", err.message end
  if state.platform ~= msg.device then
    if state.platform then conn:unbind(state.platform) end
    local ok, failed = bind(conn, msg, who, config)
    if not ok then return nil, "error", failed.message end
  end
  state.token = token_of(conn)
  state.role, state.platform, state.serial = "platform", msg.device, msg.data.serial
  return true
end

--- Activation comes before any login: the vehicle is bound, so that its result can go down.
function M.activate(conn, msg, config)
  if conn.state.vehicles and conn.state.vehicles[msg.device] then return true end
  local state = M.prepare(conn)
  if state.count >= config.max_vehicles then return nil, "error", "too many vehicles" end
  if not may_take(conn, msg.device, config) then return nil, "duplicate", "too many takeovers" end
  local who, err = allowed(conn, msg, { extra = { chip_id = msg.data.chip_id } })
  if not who then return nil, "unknown", err.message end
  local ok, failed = bind(conn, msg, who, config)
  if not ok then return nil, "error", failed.message end
  remember(conn, msg, state)
  state.vehicles[msg.device].activating = true
  state.role = state.role or "vehicle"
  return true
end

return M
